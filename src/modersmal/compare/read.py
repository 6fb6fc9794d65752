"""Read contenders where they are: a run in its store, or what `modersmal evaluate --output` kept.

Of a store far away only what is shown is read: metrics, scores, and the model's config.json.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from modersmal.compare.contender import Clips, Contender, DevScore, Rate, Score
from modersmal.errors import CorpusError, ModelError, ModersmalError
from modersmal.evaluate.metrics import Metric
from modersmal.evaluate.records import EVALUATION_FILE, Conditions
from modersmal.evaluate.results import Speed
from modersmal.evaluate.significance import clusters
from modersmal.language import is_spaced
from modersmal.store.remote import Remote, local_place
from modersmal.store.trouble import without_secrets
from modersmal.train.energy import spent
from modersmal.train.finish import MODEL
from modersmal.train.keeping import RECIPE
from modersmal.train.log import METRICS, metrics_in
from modersmal.whisper.load import locate
from modersmal.whisper.shape import Shape

_TEST, _BASE_TEST = "scores/test", "scores/base-test"
_CONFIG, _WEIGHTS = "config.json", ".safetensors"
_EVALUATE = "evaluate."  # keys of a run's identity
_BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError)


def read(address: str) -> Contender:
    """Read a run (folder or URL, STORE/runs/NAME) or a report (a folder with evaluation.json).

    Raises:
        ModelError: there is neither, or it is broken.
        CorpusError: a report is of several corpora.
        StoreError: what is far away cannot be reached.
    """
    files = _Files(_place(address), address)
    address = files.address
    if RECIPE in files.sizes:
        return _run(files)
    if EVALUATION_FILE in files.sizes:
        return _report(files)
    if any(name.startswith("runs/") for name in files.sizes):
        runs = sorted({name.split("/")[1] for name in files.sizes if name.startswith("runs/")})
        raise ModelError(
            f"{address} is a store, which has the runs {', '.join(runs)}; name those to compare, "
            f"as in {address.rstrip('/')}/runs/{runs[0]}"
        )
    raise ModelError(
        f"{address} is neither a run (it has no {RECIPE}) nor a report (no {EVALUATION_FILE}); "
        "give STORE/runs/NAME, or score a model with `modersmal evaluate MODEL CORPUS --output "
        "DIR` and give that DIR"
    )


class _Files:
    """The files of a run or a report, by names relative to it."""

    def __init__(self, place: Remote, address: str) -> None:
        self.place, self.address = place, without_secrets(address)
        self.sizes = place.sizes()

    @property
    def name(self) -> str:
        return self.address.rstrip("/").rpartition("/")[2] or self.address

    def text(self, name: str) -> str:
        return self.place.read(name).decode("utf-8", errors="replace")

    def table(self, name: str) -> dict[str, Any]:
        """A JSON object. Raises ModelError."""
        try:
            found = json.loads(self.text(name))
            return dict(found.items())
        except (ValueError, AttributeError):
            raise ModelError(f"{self.address}/{name} is broken or half written") from None


def _place(address: str) -> Remote:
    if "://" in address:
        parent, _, name = address.rstrip("/").rpartition("/")
        return Remote.open(parent).at(name)
    path = Path(address).expanduser()
    if path.name == EVALUATION_FILE and path.is_file():
        path = path.parent
    if not path.is_dir():
        raise ModelError(
            f"there is no run or report at {address}; runs are at STORE/runs/NAME, reports are "
            "what `modersmal evaluate MODEL CORPUS --output DIR` writes"
        )
    return local_place(path)


# --- Runs ----------------------------------------------------------------------------------------


def _run(files: _Files) -> Contender:
    try:
        told = files.table(RECIPE)
        recipe, identity = told["recipe"], told["identity"]
        metric: Metric = "wer" if is_spaced(recipe["language"]) else "cer"
        rows = metrics_in(files.text(METRICS)) if METRICS in files.sizes else []
        dev = _dev(rows, metric)
        steps = [row["step"] for row in rows if "loss" in row]
        taken = spent(rows)
    except _BROKEN as error:
        raise ModelError(f"{files.address} is a broken run: {error!r}") from error
    shape = _shape_in(files) or _shape_of(recipe["model"])
    return Contender(
        name=files.name,
        model=_last(recipe["model"]),
        parameters=shape.parameters if shape else None,
        weights_bytes=_weights_bytes(files),
        steps=max(steps, default=0),
        max_steps=recipe["train"]["max_steps"],
        train_s=taken.seconds if steps else None,
        hardware=taken.hardware,
        metric=metric,
        test=_test(files),
        dev=dev,
        alike=_alike(identity, rows),
    )


def _dev(rows: list[dict[str, Any]], metric: Metric) -> tuple[DevScore, ...]:
    """Dev scores in order; each knows what all steps up to its own had taken."""
    took_s, before_s, last_s = dict[int, float](), 0.0, 0.0
    for row in rows:
        if "loss" in row:
            if "hardware" in row or row["seconds"] < last_s:  # another session
                before_s, last_s = before_s + last_s, 0.0
            last_s = row["seconds"]
            took_s[row["step"]] = before_s + last_s
    scores = {
        row["step"]: Rate(row[f"dev_{metric}"], row.get("dev_low"), row.get("dev_high"))
        for row in rows
        if f"dev_{metric}" in row and row["step"] in took_s
    }
    return tuple(DevScore(step, took_s[step], scores[step]) for step in sorted(scores))


def _alike(identity: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What dev scores of two runs must share."""
    settings = {
        key.removeprefix(_EVALUATE): value
        for key, value in identity.items()
        if key.startswith(_EVALUATE)
    }
    versions = [row["dev_normaliser"] for row in rows if "dev_normaliser" in row]
    if versions:
        settings["normaliser"] = versions[-1]
    return {
        "corpus": identity["corpus"],
        "language": identity["language"],
        **settings,
        "clips (train.dev_clips)": identity["train.dev_clips"],
    }


def _test(files: _Files) -> Score | None:
    if f"{_TEST}/{EVALUATION_FILE}" not in files.sizes:
        return None
    score = _score(files, _TEST)[1]
    if f"{_BASE_TEST}/{EVALUATION_FILE}" in files.sizes:
        before = _score(files, _BASE_TEST)[1]
        if not score.conditions.differences(before.conditions):
            return Score(**(vars(score) | {"before": before.rate}))
    return score


def _shape_in(files: _Files) -> Shape | None:
    """That of the finished model, if there is one."""
    name = f"{MODEL}/{_CONFIG}"
    with suppress(ModelError, *_BROKEN):
        return Shape.of(files.table(name)) if name in files.sizes else None
    return None


def _weights_bytes(files: _Files) -> int | None:
    weights = [
        size
        for name, size in files.sizes.items()
        if name.startswith(f"{MODEL}/") and name.endswith(_WEIGHTS)
    ]
    return sum(weights) or None


# --- Reports -------------------------------------------------------------------------------------


def _report(files: _Files) -> Contender:
    model, score = _score(files, "")
    folder = _folder_of(model)
    shape = _shape_of(model)
    weights = [path.stat().st_size for path in folder.glob(f"*{_WEIGHTS}")] if folder else []
    return Contender(
        name=_last(model),
        model=_last(model),
        parameters=shape.parameters if shape else None,
        weights_bytes=sum(weights) or None,
        metric=score.metric,
        test=score,
    )


def _score(files: _Files, folder: str) -> tuple[str, Score]:
    """What an evaluation in `folder` scored: the system's name, and how it did."""
    name = f"{folder}/{EVALUATION_FILE}".lstrip("/")
    try:
        entries = files.table(name)["scores"]
        if len(entries) > 1:
            raise CorpusError(
                f"the report {files.address} has scores on {len(entries)} corpora; score on one "
                "corpus at a time to compare"
            )
        result = entries[0]["result"]
        metric: Metric = result["score"]["metric"]
        found = result["score"]["normalised"][metric]
        interval = found["interval"] or {}
        speed = result.get("speed")
        score = Score(
            metric=metric,
            rate=Rate(found["rate"], interval.get("low"), interval.get("high")),
            conditions=Conditions(**result["conditions"]),
            clips=_clips(files, f"{folder}/{result['clips_file']}".lstrip("/"), metric),
            speed=Speed(**speed) if speed else None,
        )
        return str(result["system"]["name"]), score
    except _BROKEN as error:
        where = f"{files.address}/{name}"
        raise ModelError(f"{where} is not the result of an evaluation: {error!r}") from error


def _clips(files: _Files, name: str, metric: Metric) -> Clips | None:
    if name not in files.sizes:
        return None
    rows = [json.loads(line) for line in files.text(name).splitlines()]
    wrong = ("substitutions", "deletions", "insertions") if metric == "wer" else (
        "character_errors",
    )  # fmt: skip
    unit = "words" if metric == "wer" else "characters"
    return Clips(
        errors=np.array([sum(row[kind] for kind in wrong) for row in rows], dtype=np.int64),
        units=np.array([row[unit] for row in rows], dtype=np.int64),
        groups=clusters([row["speaker"] for row in rows]),
    )


# --- Models --------------------------------------------------------------------------------------


def _folder_of(model: str) -> Path | None:
    """Where a model is on this machine; nothing is downloaded."""
    if "://" in model:
        return None
    with suppress(ModersmalError):
        return locate(model, offline=True)
    return None


def _shape_of(model: str) -> Shape | None:
    folder = _folder_of(model)
    with suppress(OSError, *_BROKEN):
        if folder:
            return Shape.of(json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
    return None


def _last(model: str) -> str:
    """A path or a URL by its last part; an id on the Hub whole."""
    elsewhere = "://" in model or model.startswith(("/", "~", "."))
    return model.rstrip("/").rpartition("/")[2] if elsewhere else model
