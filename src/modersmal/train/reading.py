"""From a planned step to its batch: clips are read and joined, their texts become labels."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modersmal import audio
from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.shards import Split, StoredClip
from modersmal.errors import CorpusError
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES
from modersmal.train.batch import HeardSample, StepBatch
from modersmal.train.bounds import room_tone, speech_bounds_s
from modersmal.train.labels import Label, Labeller, Utterance
from modersmal.train.noise import silence
from modersmal.train.packing import straddling
from modersmal.train.perturb import perturb
from modersmal.train.plan import Plan, PlannedBatch, PlannedSample
from modersmal.train.streams import stream

Stored = Mapping[int, StoredClip]

_DRIFT_S = 0.1
_ZERO_SHARE = 0.5
_SILENT_KEYS = 1 << 40  # for samples without a clip to name them
_TONE, _SILENCE, _ZEROS = 5, 6, 7  # what a random stream is for


@dataclass(frozen=True)
class _Clip:
    """A decoded clip, (n,) float32 at 16 kHz, and when its speech begins and ends."""

    samples: np.ndarray
    start_s: float
    end_s: float

    def speech(self) -> "_Clip":
        """The speech alone."""
        first, last = int(self.start_s * SAMPLE_RATE), int(np.ceil(self.end_s * SAMPLE_RATE))
        return _Clip(self.samples[first:last], 0.0, self.end_s - self.start_s)


class Reader:
    """Reads what the plan says; of every step, this process reads the samples in its `share`."""

    def __init__(
        self, split: Split, plan: Plan, labeller: Labeller, share: slice = slice(None)
    ) -> None:
        self.split, self.plan, self.labeller, self._share = split, plan, labeller, share
        self._reading = threading.Lock()

    def load(self, step: int, *, whole: bool = False) -> StepBatch:
        """The batch of one step, now; if `whole`, with the samples of other processes too."""
        planned = self.plan.batch(step)
        stored = self._stored(planned)
        samples = tuple(self._fitting(one, planned.epoch, stored) for one in planned.samples)
        planned = replace(planned, samples=samples)
        here = range(len(planned.samples))[slice(None) if whole else self._share]
        clips = self._clips(planned, here, stored)
        labels = [self._label(one, planned.epoch, stored, clips) for one in planned.samples]
        heard = [self._heard(planned, place, labels[place], clips) for place in here]
        return StepBatch(planned, heard, sum(label.learned for label in labels))

    def texts(self, batch: StepBatch) -> list[str]:
        """What is said in each sample, by clips that do not straddle its edge."""
        stored = self._stored(batch.planned)
        return [
            " ".join(
                said.text.strip()
                for said in self._utterances(sample, batch.planned.epoch, stored, {})
                if said.end_s is not None
            )
            for sample in batch.planned.samples
        ]

    def _stored(self, planned: PlannedBatch) -> Stored:
        """All clips that a step has to do with, by their rows."""
        rows = {row for sample in planned.samples for row in (*sample.rows, *sample.previous)}
        with self._reading:
            return dict(zip(sorted(rows), self.split.clips(sorted(rows)), strict=True))

    def _fitting(self, sample: PlannedSample, epoch: int, stored: Stored) -> PlannedSample:
        """A sample without the clips for whose texts a label has no room."""
        said = self._utterances(sample, epoch, stored, {})
        count = self.labeller.fitting(said, timestamps=sample.timestamps)
        if count == len(said):
            return sample
        if count == 0:  # a text that fits has room without times
            return replace(sample, rows=sample.rows[:1], starts_s=(0.0,), timestamps=False)
        return replace(sample, rows=sample.rows[:count], starts_s=sample.starts_s[:count])

    def _label(
        self, sample: PlannedSample, epoch: int, stored: Stored, clips: Mapping[int, _Clip]
    ) -> Label:
        previous = [stored[row].text for row in sample.previous]
        said = self._utterances(sample, epoch, stored, clips)
        return self.labeller.label(said, timestamps=sample.timestamps, previous=previous)

    def _utterances(
        self, sample: PlannedSample, epoch: int, stored: Stored, clips: Mapping[int, _Clip]
    ) -> list[Utterance]:
        """What is said in a sample, and when; times of clips that are not here are 0."""
        ends_s = self.plan.ends_s(np.array(sample.rows, dtype=np.int64), epoch)
        off = straddling(sample.starts_s, ends_s)
        said = []
        for row, start_s, straddles in zip(sample.rows, sample.starts_s, off, strict=True):
            clip = clips.get(row, _NOWHERE)
            end_s = None if straddles else start_s + clip.end_s
            said.append(Utterance(stored[row].text, start_s + clip.start_s, end_s))
        return said

    def _clips(self, planned: PlannedBatch, here: range, stored: Stored) -> dict[int, _Clip]:
        rows = {row for place in here for row in planned.samples[place].rows}
        clips = {row: self._decode(row, stored[row], planned.epoch) for row in sorted(rows)}
        if planned.geometry != "packed" and self.plan.clips.speech_s is not None:
            return {row: clip.speech() for row, clip in clips.items()}
        return clips

    def _decode(self, row: int, stored: StoredClip, epoch: int) -> _Clip:
        name = f"clip {stored.id}"
        clip = audio.decode(stored.data, name=name)
        recorded_s = float(self.plan.clips.durations_s[row])
        if abs(clip.duration_s - recorded_s) > _DRIFT_S:
            raise CorpusError(
                f"{name} lasts {clip.duration_s:.2f} s, the corpus says {recorded_s:.2f} s; "
                "prepare the corpus again"
            )
        known = self.plan.clips.speech_s
        start_s, end_s = known[row].tolist() if known is not None else (0.0, clip.duration_s)
        if end_s - start_s >= clip.duration_s - _DRIFT_S:  # nobody has said where
            start_s, end_s = speech_bounds_s(clip.samples)
        seed, augment = self.plan.seed, self.plan.augment
        heard = perturb(clip.samples, seed, epoch, row, recorded_s, augment)
        slower = len(heard) / len(clip.samples)
        return _Clip(heard, start_s * slower, end_s * slower)

    def _heard(
        self, planned: PlannedBatch, place: int, label: Label, clips: Mapping[int, _Clip]
    ) -> HeardSample:
        sample, most = planned.samples[place], planned.frames * HOP_SAMPLES
        seed, epoch = self.plan.seed, planned.epoch
        if not sample.rows:
            key = _SILENT_KEYS + planned.step * 10_000 + place
            return HeardSample(silence(most, stream(seed, epoch, key, _SILENCE)), label, key, [])
        key = sample.rows[0]
        parts = [
            (clips[row], start_s) for row, start_s in zip(sample.rows, sample.starts_s, strict=True)
        ]
        if planned.geometry == "packed":
            joined = _joined(parts, most, stream(seed, epoch, key, _TONE))
        else:
            joined = parts[0][0].samples[:most]
        speech = [
            (int(start_s * FRAMES_PER_S), min(planned.frames, _frames(clip.samples, start_s)))
            for clip, start_s in parts
        ]
        zeros_from = None
        if planned.geometry == "full" and stream(seed, epoch, key, _ZEROS).random() < _ZERO_SHARE:
            zeros_from = len(joined) // HOP_SAMPLES + 1
        return HeardSample(joined, label, key, speech, zeros_from)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_reading"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reading = threading.Lock()


_NOWHERE = _Clip(np.zeros(0, np.float32), 0.0, 0.0)


def _frames(samples: np.ndarray, start_s: float) -> int:
    """The frame behind a clip's last."""
    return int(start_s * FRAMES_PER_S) - (-len(samples) // HOP_SAMPLES)


def _joined(parts: list[tuple[_Clip, float]], most: int, random: np.random.Generator) -> np.ndarray:
    """Clips at their places in (most,) samples; pauses sound like the clip before them."""
    window = np.zeros(most, dtype=np.float32)
    filled = 0
    tone = parts[0][0].samples
    for clip, start_s in parts:
        first = round(start_s * SAMPLE_RATE)
        if first > filled:
            window[filled:first] = room_tone(tone, first - filled, random)
        heard = clip.samples[: most - first]
        window[first : first + len(heard)] = heard
        filled, tone = first + len(heard), clip.samples
    if filled < most and random.random() < 0.5:  # a recording that goes on, or that ends
        window[filled:] = room_tone(tone, most - filled, random)
    return window
