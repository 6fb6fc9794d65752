"""What is checked before the first step, so that days are not lost to a broken batch.

The first batch is taken as training takes it, decoded back to text, and compared with what the
model and the corpus say it should be.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from modersmal.errors import TrainingError
from modersmal.language import MAX_TOKENS, Vocabulary
from modersmal.logmel import FRAMES_PER_S
from modersmal.train.batch import StepBatch
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import SpecialIds, prompt_ids, special_ids, text_of

HIGH_LOSS = 6.0
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Sample:
    """A clip of the first batch, as the model is taught it."""

    text: str
    duration_s: float
    tokens: int

    def __str__(self) -> str:
        shown = self.text
        if len(shown) > _SHOWN_CHARACTERS:
            shown = f"{shown[:_SHOWN_CHARACTERS]}…"
        return f'"{shown}" ({self.duration_s:.1f} s, {self.tokens} tokens)'


def check_model(whisper: Whisper) -> None:
    """Check vocabulary, special ids and mel bins against the weights themselves.

    Raises:
        TrainingError: they do not fit, or a weight is not a number.
    """
    model, ids = whisper.model, special_ids(whisper.vocabulary)
    rows = model.proj_out.weight.shape[0]
    if rows != whisper.vocabulary.size:
        raise TrainingError(f"the weights know {rows:,} tokens, not {whisper.vocabulary.size:,}")
    for token, id_ in (("<|endoftext|>", ids.end), ("<|startoftranscript|>", ids.start)):
        if whisper.tokenizer.token_to_id(token) != id_:
            raise TrainingError(f"the tokenizer does not give {token} the id {id_}")
    mels = model.model.encoder.conv1.in_channels
    if mels != whisper.mels:
        raise TrainingError(f"the weights take {mels} mel bins, not {whisper.mels}")
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value).all()):
            raise TrainingError(
                f"the weight {name} of {whisper.name} holds values that are not numbers; "
                "download or save the model again"
            )


def check_batch(
    batch: StepBatch, texts: Sequence[str], whisper: Whisper, language_token: str
) -> Sample:
    """Check every label of a batch against its text, and return one to show.

    Raises:
        TrainingError: saying which clip of the batch is wrong, and how.
    """
    if not len(batch.samples) == len(texts):
        raise TrainingError(
            f"the first batch has {len(batch.samples)} samples and {len(texts)} texts"
        )
    for place, (sample, text) in enumerate(zip(batch.samples, texts, strict=True)):
        fault = label_fault(
            sample.label.ids, text, whisper.tokenizer, whisper.vocabulary, language_token
        )
        if fault:
            raise TrainingError(f"sample {place + 1} of the first batch: {fault}")
        heard = sample.samples
        if not math.isfinite(float(abs(heard).max(initial=0.0))) or not len(heard):
            raise TrainingError(f"sample {place + 1} of the first batch holds no sound audio")
    shown = next(sample for sample in batch.samples if sample.speech)
    return Sample(
        texts[batch.samples.index(shown)],
        (shown.speech[-1][1] - shown.speech[0][0]) / FRAMES_PER_S,
        len(shown.label.ids),
    )


def label_fault(
    label: Sequence[int],
    text: str,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    language_token: str,
) -> str | None:
    """What is wrong with a label for `text`, in words; None where nothing is.

    It may begin with what was said before, and end with when a clip begins that straddles the edge.
    """
    ids = special_ids(vocabulary)
    whole = len(label)
    label = _without_previous(label, ids)
    starts = sum(token == ids.start for token in label)
    if starts != 1 or label[0] != ids.start:
        return f"its label has {starts} start-of-transcript tokens, or not one at its head"
    prompt = prompt_ids(vocabulary, language_token, timestamps=True)
    if list(label[: len(prompt)]) != prompt:
        return f"its label does not go on with the tokens for {language_token!r} and transcribing"
    if label[-1] != ids.end or ids.end in label[:-1]:
        return "its label does not end with its only end-of-text"
    if whole > MAX_TOKENS:
        return f"its label has {whole} tokens; Whisper holds {MAX_TOKENS}"
    if any(not 0 <= token < vocabulary.size for token in label):
        return "its label holds tokens outside the vocabulary"
    if fault := _timestamp_fault(label[len(prompt) : -1], ids):
        return fault
    written = text_of(tokenizer, vocabulary, label)
    if written != text.strip():
        return f"its label reads {written!r}, its text is {text.strip()!r}"
    return None


def check_loss(loss: float, vocabulary: Vocabulary) -> str | None:
    """A warning for a high first loss, in nats a token.

    Raises:
        TrainingError: it is not a number, or worse than guessing.
    """
    worst = math.log(vocabulary.size) + 1
    if not math.isfinite(loss):
        raise TrainingError(
            "the loss of the first batch is not a number: the weights or the precision are broken; "
            "try train.precision = 'float32'"
        )
    if loss > worst:
        raise TrainingError(
            f"the loss of the first batch is {loss:.1f}, worse than guessing ({worst:.1f}): model, "
            "tokenizer and language do not belong together"
        )
    if loss > HIGH_LOSS:
        return (
            f"the loss of the first batch is {loss:.1f}, which is high for fine-tuning: is this "
            "the right model and language?"
        )
    return None


def _without_previous(label: Sequence[int], ids: SpecialIds) -> Sequence[int]:
    """A label without the text, if nothing but text, that is given as what was said before."""
    if label[0] != ids.start_of_previous:
        return label
    length = next((place for place, token in enumerate(label[1:], 1) if token >= ids.end), 0)
    return label[length:]


def _timestamp_fault(written: Sequence[int], ids: SpecialIds) -> str | None:
    times = [token for token in written if token >= ids.first_timestamp]
    if ids.no_timestamps in written[1:]:
        return "its label has <|notimestamps|> within its text"
    if times and written[0] == ids.no_timestamps:
        return "its label has timestamps after <|notimestamps|>"
    if not times and (not written or written[0] != ids.no_timestamps):
        return "its label has neither timestamps nor <|notimestamps|>"
    if any(later < earlier for earlier, later in itertools.pairwise(times)):
        return "its timestamps run backwards"
    if any(ids.end < token < ids.no_timestamps for token in written):
        return "its label holds a special token within its text"
    return None
