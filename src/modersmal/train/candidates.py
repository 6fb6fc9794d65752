"""Which weights become the model: the best checkpoint's, an average, or some mixed with the base's.

Each is scored on dev by real decoding, as checkpoints are, and what is more than the best
checkpoint must be better. Scores are written down as they come, so that what interrupts costs one
of them at most.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import WhisperForConditionalGeneration

from modersmal import store
from modersmal.config import LoraConfig
from modersmal.errors import CheckpointError, StoreDamaged, StoreMissing
from modersmal.train.average import Held, Mixture, Stored, Weights, put_into
from modersmal.train.checkpoint import Checkpoints, State
from modersmal.train.dev import DevScore
from modersmal.train.lora import Adapted, detach
from modersmal.train.say import say
from modersmal.whisper.load import describe, load

CANDIDATES = "candidates.json"
GONE = CheckpointError, StoreDamaged, StoreMissing  # not what is merely out of reach


@dataclass(frozen=True)
class Choice:
    """What the model is made of. `weights` says so in words, `step` is the last step that is in
    it; `rate` is its dev score as a share, None where there is none; `rates` those of all."""

    weights: str
    step: int
    rate: float | None
    rates: dict[str, float]


class Scores:
    """Scores of candidates by their names, kept in `path`; those of another run do not count."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self._path, self._identity = path, json.loads(json.dumps(identity))
        self.rates: dict[str, float] = {}
        if path.is_file():
            table = json.loads(path.read_text(encoding="utf-8"))
            if table["identity"] == self._identity:
                self.rates = table["rates"]

    def note(self, name: str, rate: float) -> None:
        self.rates[name] = rate
        store.write_json(self._path, {"identity": self._identity, "rates": self.rates})


@dataclass(frozen=True)
class _Candidate:
    name: str
    step: int
    mixture: Mixture


@dataclass(frozen=True)
class Sources:
    """What weights may be taken from: the checkpoints of a run that stands at `state`, of which
    those of the steps `averaged` are averaged, and the model `base`, of which the shares
    `interpolated` are mixed in. With `lora`, checkpoints hold its matrices alone."""

    state: State
    checkpoints: Checkpoints
    base: str
    averaged: Sequence[int]
    interpolated: Sequence[float]
    lora: LoraConfig


class Candidates:
    """What the model of a finished run may be made of.

    `model` is where weights are put together; where it is `trained`, it holds the last step's.
    `score` decodes dev with what the model holds then; it returns None where there is no time.
    """

    def __init__(
        self,
        sources: Sources,
        model: WhisperForConditionalGeneration,
        scores: Scores,
        score: Callable[[str], DevScore | None],
        *,
        trained: bool,
    ) -> None:
        self._sources, self._model, self._scores, self._score = sources, model, scores, score
        self._trained = trained
        self._began_with: Weights | None = None

    def choose(self) -> Choice:
        """Put the best weights into the model, which is a plain Whisper from here on."""
        best = self._sources.state.best
        if best is None:
            return self._settle(self._take(self._sources.state.step), None)
        chosen = self._take(best.step)
        if chosen.step == best.step:
            self._scores.rates[chosen.name] = best.rate
        rate = self._rate(chosen)
        chosen, rate = self._better(chosen, rate, self._average())
        return self._settle(*self._better(chosen, rate, self._mixed(chosen)))

    @property
    def _only_one(self) -> bool:
        sources = self._sources
        return not (sources.averaged or sources.interpolated or sources.lora.rank)

    def _better(
        self, chosen: _Candidate, rate: float | None, others: Iterable[_Candidate]
    ) -> tuple[_Candidate, float | None]:
        for candidate in others:
            found = self._rate(candidate)
            if found is not None and (rate is None or found < rate):
                chosen, rate = candidate, found
        return chosen, rate

    def _mixed(self, start: _Candidate) -> Iterator[_Candidate]:
        """`start` with the base mixed into it."""
        for share in self._sources.interpolated:
            name = f"{start.name} with {share:.0%} of the base"
            yield _Candidate(name, start.step, start.mixture.with_base(self._base(), share))

    def _average(self) -> Iterator[_Candidate]:
        """The average, where there are two to average."""
        steps, stored = [], []
        for step in self._sources.averaged:
            try:
                stored.append(self._stored(step))
                steps.append(step)
            except GONE as error:
                say(f"Step {step} is not in the average: {error}")
        if len(steps) > 1:
            named = f"{', '.join(map(str, steps[:-1]))} and {steps[-1]}"
            yield _Candidate(f"the average of steps {named}", steps[-1], Mixture.mean(stored))

    def _take(self, step: int) -> _Candidate:
        """A checkpoint's weights, or the last one's where it is damaged."""
        last = self._sources.state.step
        if step == last and self._only_one and self._trained:
            as_it_is = Held(dict(self._model.named_parameters()))
            return _Candidate(f"step {step}", step, Mixture.mean([as_it_is]))
        try:
            return _Candidate(f"step {step}", step, Mixture.mean([self._stored(step)]))
        except GONE as error:
            if step == last:
                raise
            say(f"The best checkpoint is damaged ({error}); taking the last step's weights instead")
            return self._take(last)

    def _stored(self, step: int) -> Weights:
        checkpoints, lora = self._sources.checkpoints, self._sources.lora
        stored = Stored(checkpoints.bring(checkpoints.named(step)))
        return stored if lora.rank is None else Adapted.of(self._base(), stored, lora)

    def _base(self) -> Weights:
        """The weights that training began with."""
        if self._began_with is None:
            if self._sources.lora.rank is not None:
                detach(self._model)
                self._began_with = Held.of(self._model)
            else:
                self._began_with = self._stored_base()
        return self._began_with

    def _stored_base(self) -> Weights:
        """The base's weights, as it has them on disk where they are in one file."""
        with suppress(CheckpointError):
            stored = Stored(describe(self._sources.base).folder)
            if stored.names.issuperset(name for name, _ in self._model.named_parameters()):
                return stored
        return Held(dict(load(self._sources.base).model.named_parameters()))

    def _rate(self, candidate: _Candidate) -> float | None:
        known = self._scores.rates.get(candidate.name)
        if known is not None:
            return known
        put_into(self._model, candidate.mixture)
        found = self._score(candidate.name)
        if found is None:
            return None
        self._scores.note(candidate.name, found.rate)
        return found.rate

    def _settle(self, chosen: _Candidate, rate: float | None) -> Choice:
        put_into(self._model, chosen.mixture)
        return Choice(chosen.name, chosen.step, rate, dict(self._scores.rates))
