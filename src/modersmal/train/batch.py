"""From planned rows to tensors: clips are read and decoded ahead of training, in threads.

What a step holds depends on the plan alone. How much of it a device takes at a time does not
change the result: the context is that of the whole step, and losses are sums over tokens.
"""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from modersmal import audio
from modersmal.corpus import Split
from modersmal.errors import CorpusError
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, log_mel, pad_clips
from modersmal.train.plan import Plan, PlannedBatch
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import label_ids

_DRIFT_S = 0.1


@dataclass(frozen=True)
class StepBatch:
    """All that one optimiser step learns from.

    `clips` are (n,) float32 at 16 kHz, `labels` token ids from start-of-transcript to end-of-text.
    Labels are those of the whole step. Of clips, those in `share` are here, and the others, which
    last `others_s`, in other processes.
    """

    planned: PlannedBatch
    clips: list[np.ndarray]
    labels: list[list[int]]
    share: slice = field(default_factory=lambda: slice(None))
    others_s: float = 0.0

    @property
    def audio_s(self) -> float:
        return sum(map(len, self.clips)) / audio.SAMPLE_RATE + self.others_s

    def micro_batches(self, device_batch_s: float) -> Iterator["MicroBatch"]:
        """Split what is here into parts of at most `device_batch_s` seconds of padded audio, at
        least a clip."""
        labels, rows = self.labels[self.share], self.planned.rows[self.share]
        size = max(1, int(device_batch_s * FRAMES_PER_S / self.planned.frames + 1e-6))
        parts = -(-len(self.clips) // size)
        for part in np.array_split(np.arange(len(self.clips)), parts) if parts else ():
            yield collate(
                [self.clips[place] for place in part],
                [labels[place] for place in part],
                [int(rows[place]) for place in part],
                self.planned.frames,
            )


@dataclass(frozen=True)
class MicroBatch:
    """What one forward and backward pass sees, on the host.

    `samples` (clips, n) float32 with silence behind each clip; `tokens` (clips, longest) int64
    with end-of-text behind each label; `counts` (clips,) int64, the length of each label;
    `frames` is the encoder's context and `speech_frames` how much of it is each clip.
    """

    samples: Tensor
    tokens: Tensor
    counts: Tensor
    rows: list[int]
    frames: int
    speech_frames: list[int]

    def features(self, mels: int, device: torch.device) -> Tensor:
        """Log-mel, computed on `device`: (clips, mels, frames) float32."""
        samples = self.samples
        if device.type == "cuda":
            samples = samples.pin_memory()
        return log_mel(samples.to(device, non_blocking=True), mels)[..., : self.frames]


def collate(
    clips: list[np.ndarray], labels: list[list[int]], rows: list[int], frames: int
) -> MicroBatch:
    """Stack clips and labels. A label is told from its padding by its length alone."""
    tokens = torch.tensor([label[-1] for label in labels])[:, None].repeat(1, max(map(len, labels)))
    for place, label in enumerate(labels):
        tokens[place, : len(label)] = torch.tensor(label)
    fitting = [clip[: frames * HOP_SAMPLES] for clip in clips]
    return MicroBatch(
        samples=pad_clips(fitting, frames),
        tokens=tokens,
        counts=torch.tensor([len(label) for label in labels]),
        rows=rows,
        frames=frames,
        speech_frames=[-(-len(clip) // HOP_SAMPLES) for clip in fitting],
    )


class Loader:
    """Reads and decodes the clips of coming steps in `workers` threads; 0: when asked for.

    Of every step, this process reads the clips in its `share`.
    """

    def __init__(
        self,
        split: Split,
        plan: Plan,
        whisper: Whisper,
        language_token: str,
        workers: int,
        share: slice = slice(None),
    ) -> None:
        self.split, self.plan, self._workers, self._share = split, plan, workers, share
        self._whisper, self._language_token = whisper, language_token
        self._reading = threading.Lock()

    def load(self, step: int, *, whole: bool = False) -> StepBatch:
        """The batch of one step, now; if `whole`, with the clips of other processes too."""
        share = slice(None) if whole else self._share
        planned = self.plan.batch(step)
        rows = planned.rows[share].tolist()
        others = np.setdiff1d(planned.rows, rows)
        with self._reading:
            encoded = self.split.audio_bytes(rows) if rows else []
        texts = [self.split.texts[row] for row in planned.rows.tolist()]
        return StepBatch(
            planned,
            [self._decode(row, data) for row, data in zip(rows, encoded, strict=True)],
            label_ids(
                self._whisper.tokenizer, self._whisper.vocabulary, texts, self._language_token
            ),
            share,
            float(self.split.durations_s[others].sum()),
        )

    def steps(self, first: int, last: int) -> Generator[StepBatch, None, None]:
        """The batches of steps `first` to `last - 1`, a few decoded ahead."""
        if self._workers == 0:
            yield from map(self.load, range(first, last))
            return
        ahead: deque[Future[StepBatch]] = deque()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="loader") as pool:
            try:
                for step in range(first, last):
                    ahead.append(pool.submit(self.load, step))
                    if len(ahead) > self._workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _decode(self, row: int, data: bytes) -> np.ndarray:
        name = f"clip {self.split.ids[row]}"
        clip = audio.decode(data, name=name)
        recorded_s = float(self.split.durations_s[row])
        if abs(clip.duration_s - recorded_s) > _DRIFT_S:
            raise CorpusError(
                f"{name} lasts {clip.duration_s:.2f} s, the corpus says {recorded_s:.2f} s; "
                "prepare the corpus again"
            )
        return clip.samples
