"""The card of a release, README.md, as the Hub shows it: written from facts and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from modersmal import store
from modersmal.progress import duration
from modersmal.release.curves import CURVES
from modersmal.release.examples import AUDIO, examples
from modersmal.release.exports import FORMATS
from modersmal.release.facts import REPOSITORY, Comparison, Data, Rate, Release, SplitScore, Verdict
from modersmal.release.markdown import bullets, table, toml

CARD = "README.md"

_TASK = "automatic-speech-recognition"
_ABOUT_CURVES = {
    "loss": "Loss of every step, and its course.",
    "dev-wer": "WER on dev while it learned.",
    "dev-cer": "CER on dev while it learned.",
}
_WEIGHTS = {"int8_float16": "int8 and float16", "f16": "float16"}
_WHISPER = """@misc{radford2022whisper,
  title  = {Robust Speech Recognition via Large-Scale Weak Supervision},
  author = {Radford, Alec and Kim, Jong Wook and Xu, Tao and Brockman, Greg and McLeavey, Christine and Sutskever, Ilya},
  year   = {2022},
  eprint = {2212.04356},
}"""  # noqa: E501


def write_card(release: Release, folder: Path) -> None:
    """Write README.md into the release's folder; curves that are in it already are shown.

    Raises StoreError where the folder cannot be written.
    """
    curves = sorted(path.stem for path in (folder / CURVES).glob("*.png"))
    sections = [part for part in _sections(release, curves) if part]
    text = "\n\n".join([f"---\n{_metadata(release).to_yaml()}\n---", *sections])
    store.write_bytes(folder / CARD, str(ModelCard(f"{text}\n")).encode())


def _metadata(release: Release) -> ModelCardData:
    """What the Hub filters by, and the scores that it shows."""
    libraries = {"ct2": ("ctranslate2", "faster-whisper"), "ggml": ("ggml", "whisper.cpp")}
    families = dict.fromkeys(FORMATS[verdict.format].family for verdict in release.formats)
    tags = [tag for family in families for tag in libraries.get(family, ())]
    on_hub = _is_repository(release.base)
    datasets = dict.fromkeys(s.dataset for s in release.data.sources if s.dataset)
    return ModelCardData(
        language=release.language.split("-")[0].lower(),
        license=release.licence,
        library_name="transformers",
        pipeline_tag=_TASK,
        base_model=release.base if on_hub else None,
        base_model_relation="finetune" if on_hub else None,
        datasets=list(datasets) or None,
        metrics=["wer", "cer"],
        tags=["whisper", "modersmal", *tags],
        model_name=_name(release),
        eval_results=_results(release),
    )


def _results(release: Release) -> list[EvalResult] | None:
    """WER and CER in percent, as model-index has them; None without a test split."""
    test = release.test
    if test is None:
        return None
    source = next((s.dataset for s in release.data.sources if s.dataset), None)
    return [
        EvalResult(
            task_type=_TASK,
            task_name="Automatic Speech Recognition",
            dataset_type=source or release.data.corpus,
            dataset_name=", ".join(_sources(release.data)) or release.data.corpus,
            dataset_split="test",
            metric_type=metric,
            metric_name=f"Test {metric.upper()}",
            metric_value=round(100 * rate.value, 2),
            metric_args={"normaliser": test.conditions.get("normaliser", "unknown")},
        )
        for metric, rate in (("wer", test.wer), ("cer", test.cer))
    ]


def _sections(release: Release, curves: Sequence[str]) -> Iterator[str]:
    yield f"# {_title(release)}"
    yield _opening(release)
    yield _forced(release)
    yield f"## Scores\n\n{_scores(release)}"
    yield _slices(release)
    yield _forgetting(release)
    yield f"## How to use it\n\n{_usage(release)}"
    yield f"## Formats\n\n{_formats(release)}"
    yield _refused(release.refused)
    yield f"## What it learned from\n\n{_data(release.data)}"
    yield f"## How it was trained\n\n{_training(release)}"
    yield from (f"![{_ABOUT_CURVES.get(name, name)}]({CURVES}/{name}.png)" for name in curves)
    yield _recipe(release)
    yield f"## Limits\n\n{bullets(_limits(release))}"
    yield f"## How to cite\n\n{_citation(release)}"


def _title(release: Release) -> str:
    return f"{release.base.rpartition('/')[2]} for {release.language_name}"


def _name(release: Release) -> str:
    number = f"-v{release.number}" if release.number is not None else ""
    return f"{Path(release.run).name}{number}"


def _opening(release: Release) -> str:
    train = next((split for split in release.data.splits if split.name == "train"), None)
    heard = f" on {_amount(train.hours)} of speech{_by(train.speakers)}" if train else ""
    number = f"release {release.number} of " if release.number is not None else ""
    return (
        f"This model writes down what is said in {release.language_name}. It is "
        f"{_linked(release.base)}, a Whisper with {release.parameters / 1e6:,.0f} million "
        f"parameters, fine-tuned{heard} with modersmal {release.modersmal}. This is {number}"
        f"`{Path(release.run).name}`, made on {release.made:%Y-%m-%d}."
    )


def _forced(release: Release) -> str:
    if release.forced is None:
        return ""
    return (
        "> **Released by force.** It did not pass what a release has to pass, and whoever made it "
        f"overruled that: {release.forced}"
    )


def _scores(release: Release) -> str:
    test = release.test
    if test is None:
        return "It was not scored on test: the corpus has no such split."
    taken = [
        ("this model", test),
        *([(_base(release), release.base_test)] if release.base_test else []),
    ]
    rows = [(what, _percent(score.wer), _percent(score.cer))
            for what, score in taken]  # fmt: skip
    shown = table(("", "WER % (95 % interval)", "CER % (95 % interval)"), rows)
    against = bullets(map(_compared, release.comparisons))
    return "\n\n".join(part for part in (shown, _conditions(test), against) if part)


def _base(release: Release) -> str:
    return "its base" if release.began_with is None else f"release {release.began_with}"


def _conditions(score: SplitScore) -> str:
    """How the score was taken, as far as its conditions tell."""
    told = {
        "normaliser": "compared after the normaliser `{}`",
        "context": "with the context `{}`",
        "beams": "with a beam of {}",
        "corpus": "corpus `{:.12}`",
    }
    said = [
        words.format(score.conditions[name])
        for name, words in told.items()
        if score.conditions.get(name) is not None
    ]
    taken = f"Decoded and scored on {score.clips:,} clips ({_hours(score.audio_s)}) of test, which "
    return "; ".join([f"{taken}neither training nor the choice of the weights saw", *said]) + "."


def _compared(found: Comparison) -> str:
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" (95 %: {100 * found.low:+.2f} to {100 * found.high:+.2f})"
    verdict = "worse" if found.worse else "not worse"
    return (
        f"Against {found.against}, clip by clip: {found.metric.upper()} "
        f"{100 * found.difference:+.2f} points{interval}, {verdict}."
    )


def _slices(release: Release) -> str:
    if not release.slices:
        return ""
    rows = [(one.name, f"{one.clips:,}", _percent(one.wer), _percent(one.cer))
            for one in release.slices]  # fmt: skip
    titles = ("", "clips", "WER % (95 % interval)", "CER % (95 % interval)")
    return f"### Slices\n\n{table(titles, rows)}"


def _forgetting(release: Release) -> str:
    if not release.forgetting:
        return ""
    rows = [(one.corpus, one.metric.upper(), _percent(one.before), _percent(one.after))
            for one in release.forgetting]  # fmt: skip
    titles = ("", "rate in %", "its base", "this model")
    return f"### What the base could do\n\n{table(titles, rows)}"


def _usage(release: Release) -> str:
    opening = (
        f"`{REPOSITORY}` is the repository that this is published in, `{AUDIO}` a WAV file of one "
        "channel at 16 kHz."
    )
    if release.number is not None:
        opening += f" The revision `v{release.number}` stays this release, whatever comes after it."
    if release.language_token != release.language.split("-")[0].lower():
        opening += (
            f" Whisper has no token for {release.language_name}: every runtime is told "
            f"`{release.language_token}`, whose token this model writes it under."
        )
    parts = [opening]
    for one in examples(release):
        parts.append(f"### {one.runtime}\n\n`{one.install}`\n\n```{one.language}\n{one.code}\n```")
        parts += [one.note] if one.note else []
    return "\n\n".join(parts)


def _formats(release: Release) -> str:
    if not release.formats:
        return "No format was proven."
    rows = [
        (
            f"`{verdict.path}`" if verdict.path != "." else "this folder",
            f"{verdict.size_bytes / 1e6:,.1f}",
            ", ".join(verdict.runtimes),
            _arithmetic(verdict),
            f"{100 * verdict.same_texts:.1f} % of {verdict.golden_clips:,}",
            f"{verdict.wer_change:+.2f}",
            f"{verdict.seconds_of_audio_per_second:.1f}",
        )
        for verdict in release.formats
    ]
    titles = ("", "MB", "runtimes", "numbers", "same text", "WER change, points", "s of audio/s")
    return "\n\n".join(
        [
            "Each format was loaded by its own runtimes and decoded the same clips of test "
            "greedily; it is compared with what the model wrote in training. The speed is of the "
            "machine that made the release.",
            table(titles, rows),
        ]
    )


def _arithmetic(verdict: Verdict) -> str:
    """A CPU proves the weights of float16, and not its arithmetic: that is said."""
    kind = FORMATS[verdict.format].kind if verdict.format in FORMATS else verdict.format
    if kind == "safetensors":
        return f"computed in {verdict.arithmetic} here"
    weights = _WEIGHTS.get(kind, kind)
    if verdict.arithmetic == kind:
        return f"{weights} weights"
    return f"{weights} weights, computed in {verdict.arithmetic} here"


def _refused(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    lines = [f"`{one.format}`: {'; '.join(one.failures) or 'no reason given'}" for one in verdicts]
    return f"Not released, because they failed:\n\n{bullets(lines)}"


def _data(data: Data) -> str:
    rows = [
        (split.name, f"{split.clips:,}", f"{split.hours:,.2f}",
         "" if split.speakers is None else f"{split.speakers:,}",
         f"{split.recordings:,}" if split.recordings else "")
        for split in data.splits
    ]  # fmt: skip
    titles = ("split", "clips", "hours", "speakers", "long recordings")
    leave = {
        True: "may be passed on",
        False: "must not be passed on",
        None: "whether it may be passed on is not known",
    }
    sources = []
    for source in data.sources:
        named = source.licence or "licence not known"
        terms = f"[{named}]({source.licence_url})" if source.licence_url else named
        sources.append(f"{source.name}: {terms}, {leave[source.may_pass_on]}.")
    if data.corrections:
        sources.append(f"{data.corrections:,} clips of train are what people have corrected.")
    said = f"Texts: {data.text_style}.\n\nOverlap of splits: {data.overlap}."
    return "\n\n".join([table(titles, rows), bullets(sources), said])


def _training(release: Release) -> str:
    cost = release.cost
    energy = "Its energy was not measured."
    if cost.energy_kwh is not None:
        by = f" ({cost.energy_source})" if cost.energy_source else ""
        energy = f"It took {cost.energy_kwh:,.3f} kWh{by}."
    versions = ", ".join(f"{name} {version}" for name, version in release.versions.items())
    parts = [
        f"{cost.steps:,} steps took {duration(cost.seconds)} on {cost.hardware}. {energy}"
        + (f" Versions: {versions}." if versions else ""),
        f"{_beginning(release)}The weights are {release.weights}: {release.choice}.",
    ]
    if len(release.candidates) > 1:
        metric = (release.dev_metric or "wer").upper()
        rows = [(name, f"{100 * rate:.2f}") for name, rate in release.candidates.items()]
        parts.append(table(("what the weights might have been", f"{metric} % on dev"), rows))
    return "\n\n".join(parts)


def _beginning(release: Release) -> str:
    if release.began_with is None:
        return ""
    return f"Training began with the weights of release {release.began_with}. "


def _recipe(release: Release) -> str:
    if not release.recipe:
        return ""
    text = "\n".join(toml(release.recipe)).strip()
    return f"<details><summary>The whole recipe</summary>\n\n```toml\n{text}\n```\n\n</details>"


def _limits(release: Release) -> Iterator[str]:
    """What follows from the facts, and nothing that is only likely."""
    data = release.data
    train = next((split for split in data.splits if split.name == "train"), None)
    named = ", ".join(_sources(data))
    if len(data.sources) == 1:
        yield f"All it learned from is {named}: other microphones, rooms and subjects are untried."
    elif data.sources:
        yield f"It learned from {named}; what is unlike them is untried."
    if train and train.clips:
        mean_s = 3600 * train.hours / train.clips
        yield f"What it learned from is clips of {mean_s:.1f} s on average{_by(train.speakers)}."
    yield (
        "It learned windows of 30 s with timestamps, so that recordings of any length can be given "
        "to it."
        if release.windows
        else "It did not learn windows of 30 s with timestamps: cut recordings at pauses, and "
        "trust its times less than its base's."
    )
    if release.context == "dynamic" and release.context_floor_s:
        padded = release.recipe.get("train", {}).get("full_share", 0) > 0
        learned = ", which it has learned too" * padded
        yield (
            f"It hears stretches of {release.context_floor_s:g} s and more without padding where "
            f"the runtime can do that; others pad to 30 s{learned}."
        )
    if release.alignment:
        yield f"{release.alignment[0].upper()}{release.alignment[1:]}."
    yield (
        "Where nobody speaks, any Whisper may write something all the same: cut out silence first, "
        "as `vad_filter` does."
    )
    if release.test and release.test.wer.low is None:
        yield "The test split is too small for an interval of its score."
    yield from dict.fromkeys(f"{note}." for one in release.formats for note in one.notes)


def _citation(release: Release) -> str:
    own = (
        f"@misc{{{_name(release).replace('-', '_')},\n"
        f"  title        = {{{_title(release)}}},\n"
        f"  year         = {{{release.made:%Y}}},\n"
        f"  howpublished = {{\\url{{https://huggingface.co/{REPOSITORY}}}}},\n"
        f"  note         = {{{_name(release)}, made with modersmal {release.modersmal}}},\n}}"
    )
    return f"```bibtex\n{own}\n\n{_WHISPER}\n```"


def _percent(rate: Rate) -> str:
    interval = ""
    if rate.low is not None and rate.high is not None:
        interval = f" ({100 * rate.low:.2f}–{100 * rate.high:.2f})"
    return f"{100 * rate.value:.2f}{interval}"


def _amount(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} h"


def _by(speakers: int | None) -> str:
    return f" by {speakers:,} speaker{'s' * (speakers != 1)}" if speakers else ""


def _sources(data: Data) -> list[str]:
    return list(dict.fromkeys(source.name for source in data.sources))


def _is_repository(base: str) -> bool:
    """Whether the Hub knows it; what modersmal ships with is only named like that."""
    elsewhere = base.startswith(("/", ".", "~", "modersmal/")) or "://" in base
    return base.count("/") == 1 and not elsewhere


def _linked(base: str) -> str:
    return f"[{base}](https://huggingface.co/{base})" if _is_repository(base) else f"`{base}`"
