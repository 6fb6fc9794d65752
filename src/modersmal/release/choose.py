"""Which weights are released: of all that a run has left, those that do best on dev.

Tried are the best checkpoint, the average of the last ones, and the better of them with some of the
base mixed in, as training itself may do at its end; what it has scored then is not scored again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modersmal.config import ReleaseConfig
from modersmal.errors import HubError, ModelError
from modersmal.progress import progress
from modersmal.release.source import Source
from modersmal.train.candidates import CANDIDATES, GONE, Candidates, Choice, Scores, Sources
from modersmal.train.checkpoint import Checkpoints, State, read_state
from modersmal.train.dev import DevScore, DevSet, metric_of
from modersmal.train.finish import base_name
from modersmal.train.lora import fingerprint
from modersmal.train.parts import as_it_learns, choose_dev
from modersmal.train.precision import choose_device
from modersmal.train.say import say
from modersmal.whisper.load import CARD_FILE, Whisper, load


@dataclass(frozen=True)
class Chosen:
    """What a release is made of. `weights` says it in words, `reason` why; `rate` is its dev rate
    of `metric` as a share, None where there is none, and `rates` those of all that was tried."""

    weights: str
    reason: str
    step: int | None
    metric: str | None
    rate: float | None
    rates: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choose(source: Source, config: ReleaseConfig, scores: Path) -> tuple[Whisper, Chosen]:
    """Put the best weights of a run together. Scores are noted in the file `scores` as they come.

    Of a run whose checkpoints have gone, it is the model that training left. Where its base has
    gone, nothing is mixed with that.

    Raises:
        ModelError: the run has neither checkpoints nor a model, or its base has gone and is needed.
        CheckpointError: no checkpoint can be read.
        StoreError: what is needed is out of reach.
    """
    state = _newest(source.checkpoints)
    if state is None:
        return _as_it_was_left(source, scores, "it has no checkpoints any more")
    try:
        whisper, missing = _template(source, config), ""
    except (ModelError, HubError) as error:
        missing = f"its base {source.recipe.model} cannot be had ({error})"
        if source.recipe.train.lora.rank:
            return _as_it_was_left(source, scores, missing)
        whisper = _without_base(source, missing)
    sources = Sources(
        state,
        source.checkpoints,
        base=source.recipe.model,
        averaged=_to_average(
            source.checkpoints, source.recipe.train.save_every, config.average_last
        ),
        interpolated=() if missing else config.interpolate,
        lora=source.recipe.train.lora,
    )
    dev = choose_dev(source.recipe, source.corpus)
    choice = Candidates(
        sources,
        whisper.model,
        _known(source, scores),
        lambda name: _score(dev, whisper, name),
        trained=False,
    ).choose()
    metric = metric_of(source.corpus.language)
    remarks = [_reason(choice, metric)]
    if missing and config.interpolate:
        remarks.append(f"no share of the base was tried, since {missing}")
    if state.step < source.recipe.train.max_steps and not source.model:
        remarks.append(f"of {source.recipe.train.max_steps:,} steps, {state.step:,} are done")
    return whisper, Chosen(
        choice.weights, "; ".join(remarks), choice.step, metric, choice.rate, choice.rates
    )


def _newest(checkpoints: Checkpoints) -> State | None:
    """Where the run stands, by its newest checkpoint that is whole; None where none is."""
    for name in reversed(checkpoints.names()):
        try:
            return read_state(checkpoints.bring(name))
        except GONE as error:
            say(f"The checkpoint of step {name.step} is left out: {error}")
    return None


def _template(source: Source, config: ReleaseConfig) -> Whisper:
    """A model for weights to be put into: the base, where it is needed anyway.

    Raises ModelError, HubError.
    """
    recipe, device = source.recipe, choose_device("auto")
    if source.model and not (config.interpolate or recipe.train.lora.rank):
        return load(str(source.model), device=device)
    base = load(recipe.model, device=device)
    if recipe.train.lora.rank and fingerprint(base.model) != source.identity["model_weights"]:
        raise ModelError("its weights are not those that the run began with")
    return replace(as_it_learns(base, recipe.train), base=base_name(recipe.model, base))


def _without_base(source: Source, missing: str) -> Whisper:
    """The model that training left, for other weights to be put into."""
    if source.model is None:
        raise ModelError(
            f"{source.folder} cannot be released: {missing}, and it has no model to put weights "
            "into; put the base back where it was"
        )
    return load(str(source.model), device=choose_device("auto"))


def _to_average(checkpoints: Checkpoints, every: int, count: int) -> Sequence[int]:
    """The last of those saved at regular steps, and the last of all."""
    steps = checkpoints.steps()
    regular = [step for step in steps if step % every == 0 or step == steps[-1]]
    return regular[-count:] if count else []


def _known(source: Source, scores: Path) -> Scores:
    """Scores that are there already, of this release or of the end of training."""
    known = Scores(scores, source.identity)
    known.rates = Scores(source.folder / CANDIDATES, source.identity).rates | known.rates
    return known


def _score(dev: DevSet | None, whisper: Whisper, name: str) -> DevScore | None:
    if dev is None:
        return None
    with progress(f"Scoring {name}", total=len(dev.rows), unit="clips") as advance:
        return dev.score(whisper, advance, spare_memory=True)


def _as_it_was_left(source: Source, scores: Path, why: str) -> tuple[Whisper, Chosen]:
    if source.model is None:
        raise ModelError(
            f"{source.folder} cannot be released: {why}, and no finished model is left of it; "
            "train it again"
        )
    card = json.loads((source.model / CARD_FILE).read_text(encoding="utf-8"))
    weights = card.get("weights", "what training left")
    known = _known(source, scores).rates
    return load(str(source.model)), Chosen(
        weights,
        f"the run has only its finished model to release, since {why}",
        None,
        metric_of(source.corpus.language),
        known.get(weights),
        known,
    )


def _reason(choice: Choice, metric: str) -> str:
    if choice.rate is None:
        return "the corpus has no dev split to choose by, so the last step is taken"
    others = [
        f"{rate:.1%} of {name}" for name, rate in choice.rates.items() if name != choice.weights
    ]
    found = f"{choice.rate:.1%} {metric.upper()} on dev"
    return f"{found}, against {', '.join(others)}" if others else f"{found}; nothing else was there"
