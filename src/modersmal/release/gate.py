"""Each format of a release against the model that was trained, in the runtimes that will read it.

The measure is what that model writes itself in float32. A format that computes in it, too, has to
write the same; others may lose some words. Nobody's references decide here but where words are
counted: whether the model is any good is for `rivals`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modersmal.allocator import give_back_memory
from modersmal.audio import SAMPLE_RATE
from modersmal.config import EvaluateConfig
from modersmal.errors import ModelError
from modersmal.evaluate.metrics import Score
from modersmal.progress import progress
from modersmal.release.apart import open_apart
from modersmal.release.exports import FORMATS
from modersmal.release.facts import Verdict
from modersmal.release.golden import Golden
from modersmal.release.runtimes import Device
from modersmal.release.trial import Trial, batches, joined, try_out
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import Whisper, load

SAME_TEXTS = 0.99
LONG_MARGIN = 20.0  # points of WER
_NAMED = 5
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Expected:
    """What the model in training writes: greedily, in float32, each clip heard as 30 s.

    `half_texts` are of the same clips, by the same model with its weights rounded to float16, as
    most formats keep them: where these differ, a text hangs on the rounding alone.

    Rates are those that decide in the language, as shares: of the clips, and of the recording in
    the worse of the two ways to go through one, by the timestamps that the model writes or in
    windows of 30 s. A model that has not learned windows is bad at either or both.
    """

    texts: tuple[str, ...]
    silences: tuple[str, ...]
    rate: float
    recording_rate: float
    half_texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "Expected":
        """As it was kept in JSON."""
        texts = {name: tuple(table[name]) for name in ("texts", "silences", "half_texts")}
        return cls(**{**table, **texts})

    @property
    def speaks_in_silence(self) -> bool:
        return any(self.silences)


def expected(
    model: Path,
    golden: Golden,
    token: str,
    *,
    config: EvaluateConfig | None = None,
    device: Device = "cpu",
) -> Expected:
    """Decode the golden set with the model in the folder `model`, as it is in training.

    Raises:
        ModelError: there is no sound model, or it does not know the language.
        CorpusError: no golden clip holds a word.
    """
    config = config or EvaluateConfig()
    whisper = load(str(model), device=device)
    texts, silences, windowed = _written(
        whisper, token, golden.clips, golden.silences, golden.windows
    )
    torch.nn.Module.half(whisper.model).float()
    [half_texts] = _written(whisper, token, golden.clips)
    del whisper
    give_back_memory()
    with open_apart("transformers", model, device) as runtime:
        timed = joined(runtime.long(golden.recording, token))
    return Expected(
        texts=texts,
        silences=silences,
        rate=golden.score(texts, config).deciding.rate,
        recording_rate=max(
            golden.recording_rate(way, config) for way in (" ".join(windowed), timed)
        ),
        half_texts=half_texts,
    )


def speaks_in_silence(model: str, golden: Golden, token: str, device: Device = "cpu") -> bool:
    """Whether a model writes text where nobody speaks, as those do that were never taught not to.

    Raises:
        ModelError, HubError: it cannot be loaded, or does not know the language.
    """
    [silences] = _written(load(model, device=device), token, golden.silences)
    give_back_memory()
    return any(silences)


def _written(
    whisper: Whisper, token: str, *sets: Sequence[np.ndarray]
) -> Iterator[tuple[str, ...]]:
    decoder = TransformersDecoder(whisper)
    with progress("Decoding as in training", total=sum(map(len, sets)), unit="clips") as advance:
        for clips in sets:
            yield tuple(
                one.text
                for batch in batches(clips)
                for one in decode(
                    decoder, batch, language_token=token, context="full", on_progress=advance
                )
            )


def prove(
    release: Path,
    name: str,
    golden: Golden,
    expected: Expected,
    token: str,
    *,
    max_quantised_loss: float,
    base_speaks_in_silence: bool,
    config: EvaluateConfig | None = None,
    device: Device = "cpu",
) -> Verdict:
    """Have each runtime of the format `name` read what the folder `release` holds of it.

    Of a float format that a runtime computes in float32, at least 99 % of the clips have to be
    written as `expected`. The rate may be at most `max_quantised_loss` points higher, as it will
    be of quantised formats and in half precision. The recording has to give text, at a rate at
    most 20 points above the expected one. Silence must give none, unless the model writes some
    itself, as its base did already.

    A format that cannot be opened, or ends its runtime's process, has failed like one that writes
    nonsense: nothing is raised for it.
    """
    format = FORMATS[name]
    failures = _learned_to_speak_in_silence(expected, base_speaks_in_silence)
    trials = []
    total = len(format.runtimes) * len(golden.clips)
    with progress(f"Proving {name}", total=total, unit="clips") as advance:
        for runtime in format.runtimes:
            try:
                with open_apart(runtime, format.within(release), device) as opened:
                    trials.append(try_out(opened, golden, token, advance))
            except ModelError as error:
                failures.append(str(error))
    judge = _Judge(golden, expected, config or EvaluateConfig(), max_quantised_loss)
    for trial in trials:
        failures += judge.failures(trial, is_float=format.is_float)
    return Verdict(
        format=name,
        path=format.place,
        size_bytes=format.size_bytes(release) if format.within(release).exists() else 0,
        runtimes=format.runtimes,
        arithmetic=", ".join(dict.fromkeys(trial.arithmetic for trial in trials)),
        golden_clips=len(golden.clips),
        same_texts=min((judge.same_texts(trial) for trial in trials), default=0.0),
        wer_change=max((judge.change(trial) for trial in trials), key=abs, default=0.0),
        seconds_of_audio_per_second=min((trial.speed for trial in trials), default=0.0),
        passed=not failures,
        failures=tuple(failures),
        notes=tuple(note for trial in trials for note in judge.notes(trial)),
    )


@dataclass(frozen=True)
class _Judge:
    golden: Golden
    expected: Expected
    config: EvaluateConfig
    max_quantised_loss: float

    def same_texts(self, trial: Trial) -> float:
        pairs = zip(self.expected.texts, trial.texts, strict=True)
        return sum(ours == theirs for ours, theirs in pairs) / len(trial.texts)

    def change(self, trial: Trial) -> float:
        """By how many points the rate of the clips is higher than the model's own."""
        rate = self.golden.score(trial.texts, self.config).deciding.rate
        return 100 * (rate - self.expected.rate)

    def failures(self, trial: Trial, *, is_float: bool) -> list[str]:
        found = []
        exact = is_float and trial.arithmetic == "float32"
        if exact and self._as_rounded(trial) < SAME_TEXTS * len(trial.texts):
            found = self._different(trial)
        elif self.change(trial) > self.max_quantised_loss:
            found = self._worse(trial)
        return found + self._of_recording(trial) + self._of_silence(trial)

    def _as_rounded(self, trial: Trial) -> int:
        """How many texts are the model's, with its weights in float32 or float16."""
        half_texts = self.expected.half_texts or self.expected.texts
        return sum(
            text in both
            for text, *both in zip(trial.texts, self.expected.texts, half_texts, strict=True)
        )

    def _different(self, trial: Trial) -> list[str]:
        head = (
            f"{trial.runtime} wrote what the model wrote for {self._as_rounded(trial):,} of "
            f"{len(trial.texts):,} clips, and has to for {SAME_TEXTS:.0%}"
        )
        return [head, *self._worst_clips(trial)]

    def _worse(self, trial: Trial) -> list[str]:
        change, most = self.change(trial), self.max_quantised_loss
        head = (
            f"{trial.runtime} in {trial.arithmetic} has an error rate {change:.1f} points above "
            f"the model's, and at most {most:g} are allowed"
        )
        return [head, *self._worst_clips(trial)]

    def _worst_clips(self, trial: Trial) -> Iterator[str]:
        """Some of the clips that are written in another way, those with most errors more first."""
        theirs, ours = (
            _errors(self.golden.score(texts, self.config))
            for texts in (trial.texts, self.expected.texts)
        )
        other = [
            clip
            for clip in np.argsort(ours - theirs, kind="stable").tolist()
            if trial.texts[clip] != self.expected.texts[clip]
        ]
        for clip in other[:_NAMED]:
            yield (
                f"clip {self.golden.names[clip]}: {trial.runtime} wrote "
                f"{_shown(trial.texts[clip])}, the model wrote {_shown(self.expected.texts[clip])}"
            )
        if len(other) > _NAMED:
            yield f"and {len(other) - _NAMED:,} clips more"

    def _of_recording(self, trial: Trial) -> list[str]:
        lasts_s = len(self.golden.recording) / SAMPLE_RATE
        if not trial.recording:
            return [f"{trial.runtime} wrote nothing of a recording of {lasts_s:.0f} s"]
        rate = self.golden.recording_rate(trial.recording, self.config)
        most = self.expected.recording_rate + LONG_MARGIN / 100
        if rate <= most:
            return []
        return [
            f"of a recording of {lasts_s:.0f} s, {trial.runtime} has an error rate of {rate:.0%}, "
            f"and may have {most:.0%}; it wrote {_shown(trial.recording)}"
        ]

    def _of_silence(self, trial: Trial) -> list[str]:
        if self.expected.speaks_in_silence:
            return []
        found = []
        for way, texts in (("", trial.silences), (" as a recording", trial.long_silences)):
            wrote = [place for place, text in enumerate(texts) if text]
            for place in wrote[:1]:
                lasts_s = len(self.golden.silences[place]) / SAMPLE_RATE
                found.append(
                    f"of {lasts_s:g} s of silence{way}, {trial.runtime} wrote "
                    f"{_shown(texts[place])}, the model wrote nothing "
                    f"({len(wrote)} of {len(texts)} silences)"
                )
        return found

    def notes(self, trial: Trial) -> list[str]:
        """What the card has to say of it."""
        if not any(trial.silences):
            return []
        examples = ", ".join(_shown(text) for text in dict.fromkeys(trial.silences) if text)
        where = "also" if any(trial.long_silences) else "but not"
        return [
            f"{trial.runtime} writes words for a clip of silence or faint noise ({examples}), "
            f"{where} where it goes through a recording by itself"
        ]


def _learned_to_speak_in_silence(expected: Expected, base_speaks_in_silence: bool) -> list[str]:
    if base_speaks_in_silence or not expected.speaks_in_silence:
        return []
    text = next(text for text in expected.silences if text)
    return [f"of silence the model itself wrote {_shown(text)}, which its base did not"]


def _errors(scored: Score) -> np.ndarray:
    """Of each clip, in what decides."""
    return scored.normalised.edits(scored.metric).errors


def _shown(text: str) -> str:
    return f"'{text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + '…'}'"
