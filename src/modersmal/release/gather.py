"""What is known of a model before it is proven: from its run, its corpus and its own folder."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import ModelCard
from safetensors import safe_open

from modersmal import __version__
from modersmal.corpus import Corpus
from modersmal.errors import ModelError
from modersmal.language import is_spaced, resolve
from modersmal.release.facts import Cost, Data, Release, Source, Split
from modersmal.train.energy import Spent, spent
from modersmal.train.keeping import RECIPE
from modersmal.train.log import read_metrics
from modersmal.whisper.convert import model_hash
from modersmal.whisper.load import describe, read_card

_RUNS = "runs"
_LICENCES = {  # of the bases that people begin with; their pages on the Hub say so
    "openai/whisper-large-v3-turbo": "mit",
    "openai/": "apache-2.0",
    "KBLab/": "apache-2.0",
    "distil-whisper/": "mit",
    "modersmal/": "apache-2.0",
}
_CASES = {"keep": "case as the sources have it", "lower": "all in lower case"}
_MARKS = {"keep": "punctuation as the sources have it", "strip": "without punctuation"}


class Chosen(Protocol):
    """What the weights are made of, why, and the dev rates of all that they might have been."""

    @property
    def weights(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def rates(self) -> Mapping[str, float]: ...


def gather(run: Path, corpus: Corpus, model: Path, chosen: Chosen) -> Release:
    """The facts of the complete model folder `model`, which was chosen from the run's weights.

    Scores, comparisons, formats, number and parent are not among them yet. Paths of this machine
    are left out: a release may be published.

    Raises:
        ModelError: `run` is none, or the model's folder is not complete.
        LanguageError: the corpus's language has no token.
    """
    told = _told(run)
    described = describe(str(model))
    card = read_card(model)
    language = card.language or resolve(corpus.language, corpus.language_token)
    base = card.base or _last(told["recipe"]["model"])
    return Release(
        content=model_hash(model),
        run=run.name if run.absolute().parent.name == _RUNS else str(run),
        made=datetime.now(UTC),
        modersmal=__version__,
        versions={k: v for k, v in told.items() if isinstance(v, str) and k != "modersmal"},
        base=base,
        licence=_licence(base, told["recipe"]["model"]),
        language=language.code,
        language_name=language.name,
        language_token=language.token,
        vocabulary=described.vocabulary.value,
        mels=described.mels,
        parameters=_parameters(model),
        weights=chosen.weights,
        choice=chosen.reason,
        candidates=dict(chosen.rates),
        dev_metric="wer" if is_spaced(language.code) else "cer",
        context=described.context,
        context_floor_s=described.context_floor_s if described.context == "dynamic" else None,
        windows=described.windows,
        began_with=release_of(told["recipe"]["model"]),
        data=_data(corpus),
        recipe=_public(told["recipe"]),
        learned_from=card.learned_from,
        cost=_cost(spent(read_metrics(run))),
    )


def release_of(model: str) -> int | None:
    """The number of the release that a recipe's `model` names as STORE#7; None: it names none."""
    store, _, number = model.rpartition("#")
    return int(number) if store and number.isdigit() else None


def _told(run: Path) -> dict[str, Any]:
    path = run / RECIPE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        told["recipe"]["model"]
    except FileNotFoundError:
        raise ModelError(f"{run} is no run: it has no {RECIPE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    return told


def _public(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without the addresses of its maker's machine and store, and without what is said
    of a server: its database, its names."""
    public = {key: value for key, value in recipe.items() if key not in ("store", "serve")}
    public["model"] = _last(recipe["model"])
    if data := recipe.get("data"):
        public["data"] = data | {"sources": [_last(source) for source in data.get("sources", [])]}
    if evaluate := recipe.get("evaluate"):
        candidates = [_last(model) for model in evaluate.get("candidates", [])]
        public["evaluate"] = evaluate | {"candidates": candidates}
    return public


def _last(address: str) -> str:
    """The last part of a path or a URL; ids on the Hub stay whole, which hf: and mdc: begin too."""
    elsewhere = "://" in address or address.startswith(("/", "~", "."))
    return address.rstrip("/").rpartition("/")[2] if elsewhere else address


def _licence(base: str, model: str) -> str | None:
    """That of the base as its own card has it, where it is a folder that has one."""
    readme = Path(model).expanduser() / "README.md"
    if readme.is_file():
        return ModelCard.load(readme, ignore_metadata_errors=True).data.get("license")
    return next((name for start, name in _LICENCES.items() if base.startswith(start)), None)


def _parameters(model: Path) -> int:
    """How many numbers the weights are, from the heads of their files."""
    count = 0
    for path in model.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  no mapping
                size = 1
                for length in file.get_slice(name).get_shape():
                    size *= length
                count += size
    return count


def _data(corpus: Corpus) -> Data:
    info = corpus.info
    splits = []
    for name, listed in info["splits"].items():
        split = corpus.split(name)
        splits.append(
            Split(
                name=name,
                clips=len(split),
                hours=split.duration_s / 3600,
                speakers=listed.get("speakers") or None,
                recordings=listed.get("recordings", 0),
            )
        )
    return Data(
        corpus=corpus.path.name,
        splits=tuple(splits),
        sources=tuple(map(_source, info.get("sources", []))),
        corrections=_corrections(corpus),
        text_style=_style(info.get("text", {})),
        overlap=_overlap(info),
    )


def _corrections(corpus: Corpus) -> int:
    """How many clips to learn from people have corrected on the page."""
    kinds = {source["name"]: source.get("kind") for source in corpus.info.get("sources", [])}
    if "corrections" not in kinds.values() or "train" not in corpus.splits:
        return 0
    return sum(
        kinds.get(name) == "corrections"
        for names in corpus.split("train").values("source")
        for name in names
    )


def _source(listed: Mapping[str, Any]) -> Source:
    repository, _, _config = listed["name"].partition(":")
    return Source(
        name=listed["name"],
        dataset=repository if listed.get("kind") == "hub" else None,
        licence=listed.get("licence"),
        licence_url=listed.get("licence_url"),
        may_pass_on=listed.get("redistributable"),
    )


def _style(text: Mapping[str, Any]) -> str:
    parts = [_CASES[text.get("case", "keep")], _MARKS[text.get("punctuation", "keep")]]
    if replaced := len(text.get("replace", {})):
        parts.append(f"with {replaced} replacement{'s' * (replaced > 1)} of the recipe")
    return ", ".join(parts)


def _overlap(info: Mapping[str, Any]) -> str:
    """What the check for the same audio, speakers and sentences in two splits found, in words."""
    if "overlap" not in info:
        return "not checked"
    found = []
    for entry in info["overlap"]:
        kinds = [
            f"{entry[kind]:,} {what}{'s' * (entry[kind] != 1)}"
            for kind, what in (("speakers", "speaker"), ("sentences", "sentence"))
            if entry[kind]
        ]
        if entry["duplicates"]:
            kinds.append(f"{entry['duplicates']:,} times the same audio, of which one is kept")
        found.append(f"{' and '.join(entry['splits'])} share {', '.join(kinds)}")
    what = "recording, sentence or speaker"
    if not any(split.get("speakers") for split in info["splits"].values()):
        what = "recording or sentence (speakers are not known)"
    return "; ".join(found) or f"no {what} is in two splits"


def _cost(taken: Spent) -> Cost:
    source = taken.energy_source
    if source and taken.measured_steps < taken.steps:
        source += f"; measured for {taken.measured_steps:,} of {taken.steps:,} steps"
    return Cost(
        steps=taken.steps,
        seconds=taken.seconds,
        hardware=", then ".join(taken.hardware) or "a machine that was not noted",
        energy_kwh=taken.energy_kwh,
        energy_source=source,
    )
