"""Decode with `transformers`: on every device that torch knows, with the weights as they are."""

from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from modersmal.whisper.decode import Search, Written
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import special_ids


class TransformersDecoder:
    """A Whisper as it is in memory: training's own, too.

    The encoder runs once per batch, and the decoder keeps its keys and values. Whether the model
    is being trained is left as it was.
    """

    engine = "transformers"
    lanes = 1

    def __init__(self, whisper: Whisper) -> None:
        self.model = whisper

    @property
    def precision(self) -> str:
        return str(self.model.model.dtype).removeprefix("torch.")

    @property
    def device(self) -> str:
        return str(self.model.device)

    @property
    def computes_on(self) -> str:
        return self.device

    def write(self, features: Tensor, search: Search) -> list[Written]:
        """Decode one batch; in halves where the GPU's memory does not hold it."""
        was_training = self.model.model.training
        self.model.model.eval()
        try:
            return _generate(self.model, features, search)
        except torch.OutOfMemoryError:
            if len(features) == 1:
                raise
        finally:
            self.model.model.train(was_training)
        torch.cuda.empty_cache()
        middle = len(features) // 2
        halves = (features[:middle], features[middle:])
        return [written for half in halves for written in self.write(half, search)]


@torch.inference_mode()
def _generate(whisper: Whisper, features: Tensor, search: Search) -> list[Written]:
    model, device, prompt = whisper.model, whisper.device, search.prompt
    clips, _, frames = features.shape
    encoded: BaseModelOutput = model.model.encoder(features.to(model.dtype))
    processors = LogitsProcessorList()
    if search.timestamps:
        processors.append(WhisperTimeStampLogitsProcessor(whisper.generation, len(prompt)))
    chosen = _ChosenLogprobs()
    if search.beams == 1:
        processors.append(chosen)
    # Whisper's own `generate` pads to 30 s; this is the loop beneath it.
    output: Any = GenerationMixin.generate(
        cast(Any, model),
        generation_config=_settings(whisper, search),
        logits_processor=processors,
        encoder_outputs=encoded,
        attention_mask=torch.ones(clips, frames, dtype=torch.long, device=device),
        decoder_input_ids=torch.tensor([prompt] * clips, device=device),
    )
    end = special_ids(whisper.vocabulary).end
    generated = output.sequences[:, len(prompt) :].tolist()
    logprobs = chosen.means(generated, end) if search.beams == 1 else [None] * clips
    return [
        Written(ids[: ids.index(end)] if end in ids else ids, logprob)
        for ids, logprob in zip(generated, logprobs, strict=True)
    ]


def _settings(whisper: Whisper, search: Search) -> GenerationConfig:
    ids = special_ids(whisper.vocabulary)
    return GenerationConfig(
        max_length=len(search.prompt) + search.most_tokens,
        num_beams=search.beams,
        do_sample=False,
        use_cache=True,
        bos_token_id=ids.end,
        eos_token_id=ids.end,
        pad_token_id=ids.end,
        decoder_start_token_id=ids.start,
        suppress_tokens=whisper.generation.suppress_tokens,
        begin_suppress_tokens=whisper.generation.begin_suppress_tokens,
        return_dict_in_generate=True,
    )


class _ChosenLogprobs(LogitsProcessor):
    """Keeps the log-probability of the token that greedy search takes, and changes nothing."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps.append(scores.amax(-1) - scores.logsumexp(-1))
        return scores

    def means(self, generated: list[list[int]], end: int) -> list[float]:
        """Mean per row, up to its first end-of-text."""
        rows = torch.stack(self.steps, dim=1).tolist()
        lengths = [ids.index(end) + 1 if end in ids else len(ids) for ids in generated]
        return [sum(row[:length]) / length for row, length in zip(rows, lengths, strict=True)]
