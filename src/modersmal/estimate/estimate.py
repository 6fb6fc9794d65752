"""How long a recipe takes: by its rehearsal on that machine, or else by a small table.

A rehearsal measured the very steps, clips and scores, so that is believed to a quarter. The table
has one number for each machine, by which the arithmetic that the recipe needs is divided.
"""

import math
from dataclasses import replace

from modersmal.config import Recipe, TrainConfig
from modersmal.errors import RecipeError, StoreError
from modersmal.estimate.by_table import stages_by_table
from modersmal.estimate.data import Amount, amount
from modersmal.estimate.hardware import Hardware, called, known, named
from modersmal.estimate.result import Estimate, Span, Stage
from modersmal.hardware import hardware_name
from modersmal.rehearse.forecast import dev_scores, saves
from modersmal.rehearse.record import Record, costs, recall
from modersmal.rehearse.result import Part
from modersmal.rehearse.result import Stage as Rehearsed
from modersmal.store.workspace import Workspace
from modersmal.train.precision import choose_device

HERE = "here"
_REHEARSED_FACTOR = 1.25  # docs/benchmarks.md, "Rehearsal": the goal, which was kept


def estimate(
    recipe: Recipe,
    *,
    on: str = HERE,
    audio_hours: float | None = None,
    price_per_hour: float | None = None,
) -> Estimate:
    """Hours of each stage of a recipe of one size, from its beginning; downloads are left out.

    `on` is "here", or a machine of the table (`known()`). Nothing is downloaded, and a store that
    cannot be reached counts as empty. `audio_hours` says how much data there is, where neither a
    corpus nor a rehearsal does.

    Raises:
        RecipeError: the table lacks the machine, the model's size is not known, or a number is
            none that can be.
    """
    for name, value in (("--audio-hours", audio_hours), ("--price-per-hour", price_per_hour)):
        if value is not None and not 0 < value < math.inf:
            raise RecipeError(f"{name} must be more than 0, not {value:g}")
    driver = hardware_name(choose_device(recipe.train.device)) if on == HERE else ""
    hardware = called(driver) if on == HERE else named(on)
    workspace, record = _store(recipe)
    fits = record is not None and record.costs == costs(recipe)
    if record and fits and audio_hours is None and _is_of(record, driver, hardware, on):
        stages = tuple(_rehearsed(stage, recipe.train, record) for stage in record.stages)
        basis = (
            f"Rehearsed on {record.hardware}: within 25 %, as it was where both were measured. "
            "Downloads are left out."
        )
        return Estimate(
            recipe.name, recipe.model, record.hardware, True, basis, stages, price_per_hour
        )
    if hardware is None:
        raise RecipeError(
            f"no speed is known of {driver}; `modersmal run RECIPE --rehearse` measures it, or "
            f"name one of {', '.join(known())} with --on"
        )
    data = amount(recipe, workspace, record, audio_hours)
    return Estimate(
        name=recipe.name,
        model=recipe.model,
        hardware=driver or _said(hardware),
        rehearsed=False,
        basis=_table_basis(hardware, data, record, fits),
        stages=tuple(stages_by_table(recipe, hardware, data)),
        price_per_hour=price_per_hour,
    )


def _said(hardware: Hardware) -> str:
    return f"a {hardware.name}" if hardware.is_gpu else f"a CPU of {hardware.cores} cores"


def _store(recipe: Recipe) -> tuple[Workspace | None, Record | None]:
    """The store, and the rehearsal in it, as far as it can be reached from here."""
    try:
        workspace = recipe.workspace
        return workspace, recall(recipe, workspace)
    except StoreError:
        return None, None


def _is_of(record: Record, driver: str, hardware: Hardware | None, on: str) -> bool:
    """Whether a rehearsal was on the machine that is asked for."""
    if on == HERE:
        return record.hardware == driver
    rehearsed_on = called(record.hardware)
    return bool(hardware and hardware.is_gpu and rehearsed_on and
                rehearsed_on.name == hardware.name)  # fmt: skip


def _table_basis(hardware: Hardware, data: Amount, record: Record | None, fits: bool) -> str:
    rehearsal = "nobody has rehearsed it"
    if record:
        rehearsal = "its rehearsal was on another machine" if fits else (
            "what was rehearsed was another recipe"
        )  # fmt: skip
    kind = "assumed" if hardware.is_gpu else "measured on another processor"
    return (
        f"By a small table, since {rehearsal}: {hardware.train_flops / 1e12:.2g} TFLOP/s in "
        f"training is {kind}, and may be wrong by a factor of {hardware.factor:g}; for "
        f"{data.source}. Downloads are left out. `modersmal run RECIPE --rehearse` there measures "
        "it."
    )


def _rehearsed(stage: Rehearsed, config: TrainConfig, record: Record) -> Stage:
    """A stage as it was rehearsed, with as many steps, scores and checkpoints as there are now."""
    scored = "dev" in record.splits
    counts = {
        "score dev": len(dev_scores(config)) + config.mixtures,
        "save a checkpoint": len(saves(config, scored=scored)) - 1,
    }

    def now(part: Part) -> Part:
        if part.what.startswith("a step "):
            return replace(part, count=round(part.count * config.max_steps / record.max_steps))
        return replace(part, count=counts.get(part.what, part.count))

    return Stage(
        stage.name, Span.within(sum(now(part).seconds for part in stage.parts), _REHEARSED_FACTOR)
    )
