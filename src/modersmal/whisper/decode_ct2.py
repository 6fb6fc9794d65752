"""Decode through CTranslate2: several batches at once on a CPU, in any of its number formats."""

import os
from pathlib import Path

import ctranslate2
import numpy as np
import torch
from torch import Tensor

from modersmal.corpus.pool import available_cores
from modersmal.logmel import WINDOW_FRAMES
from modersmal.whisper.convert import Quantization
from modersmal.whisper.decode import Search, Written
from modersmal.whisper.load import Described

_MOST_LANES = 8


class CTranslate2Decoder:
    """A model that was converted into a folder; `model` is what it was converted from."""

    engine = "ctranslate2"
    device = "cpu"  # CTranslate2 takes features to its own device

    def __init__(
        self,
        folder: Path,
        model: Described,
        *,
        device: str = "cpu",
        compute_type: Quantization = "float32",
    ) -> None:
        """Load it. Raises RuntimeError where a GPU's libraries are missing."""
        self.model, self.precision = model, str(compute_type)
        self.computes_on = device
        # A thread of its own for each batch beats several for one: nothing waits for the slowest.
        cores = decoding_cores() if device == "cpu" else 1
        self.lanes = min(cores, _MOST_LANES)
        torch_threads = torch.get_num_threads()
        self._whisper = ctranslate2.models.Whisper(
            str(folder),
            device=device,
            compute_type=compute_type,
            inter_threads=self.lanes,
            intra_threads=max(1, cores // self.lanes),
        )
        # It sets the number for all of OpenMP: training would go on in one thread.
        torch.set_num_threads(torch_threads)
        if device != "cpu":  # libraries that are missing are missed only when they compute
            silence = np.zeros((1, model.mels, WINDOW_FRAMES), np.float32)
            self._whisper.encode(ctranslate2.StorageView.from_array(silence))

    def write(self, features: Tensor, search: Search) -> list[Written]:
        """Decode one batch; lets other Python threads run meanwhile."""
        samples = np.ascontiguousarray(features.numpy(), dtype=np.float32)
        results = self._whisper.generate(
            ctranslate2.StorageView.from_array(samples),
            [search.prompt] * len(samples),
            beam_size=search.beams,
            max_length=2 * search.most_tokens,  # it writes half of that at most, as OpenAI's does
            return_scores=search.beams == 1,
        )
        return [
            Written(
                result.sequences_ids[0],
                _avg_logprob(result, search.most_tokens) if search.beams == 1 else None,
            )
            for result in results
        ]

    def close(self) -> None:
        """Give its memory back before this returns; it decodes no more."""
        del self._whisper  # `unload_model` leaves it to the threads to do so when they get to it


def decoding_cores() -> int:
    """Cores to decode on: as many as OMP_NUM_THREADS allows, if it is set, else all there are."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() and int(allowed) else available_cores()


def _avg_logprob(result: ctranslate2.models.WhisperGenerationResult, most_tokens: int) -> float:
    """CTranslate2 divides by the tokens without end-of-text, whose logarithm it has added."""
    length = len(result.sequences_ids[0])
    written = length if length == most_tokens else length + 1
    return float(result.scores[0]) * max(1, length) / written
