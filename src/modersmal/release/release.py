"""From a run to a release: choose, export, prove, compare, describe, and put it into the store.

Nothing is in the store before all of it is proven, and `latest` moves last. What is done already
stays done when it is interrupted: the same command goes on.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from modersmal import __version__, store
from modersmal.allocator import give_back_memory, keep_little_freed
from modersmal.config import ReleaseConfig
from modersmal.corpus.lineage import learned_from
from modersmal.errors import (
    Held,
    HubError,
    ModelError,
    NotReleased,
    StoreDamaged,
    StoreMissing,
)
from modersmal.language import resolve
from modersmal.release.card import write_card
from modersmal.release.choose import Chosen, choose
from modersmal.release.curves import write_curves
from modersmal.release.draft import WORK, Draft
from modersmal.release.exports import FORMATS, Format, export, formats_of
from modersmal.release.facts import Comparison, Release, SplitScore, Verdict, content_of
from modersmal.release.gate import Expected, expected, prove, speaks_in_silence
from modersmal.release.gather import gather, release_of
from modersmal.release.golden import Golden, golden_set
from modersmal.release.rivals import SCORES, compare, rivals, score_test
from modersmal.release.runtimes import Device, check_installed
from modersmal.release.source import Source, open_run
from modersmal.release.timed import timed_windows
from modersmal.store.files import files_of
from modersmal.store.releases import Releases
from modersmal.train.keeping import lineage_of
from modersmal.whisper.heads import find_heads
from modersmal.whisper.load import CARD_FILE, LEARNED_FROM, Whisper, read_card
from modersmal.whisper.save import save_complete

_NO_MODEL = ("README.md", "release.json", "recipe.json", f"{SCORES}/", "curves/", "tensorboard/")


@dataclass(frozen=True)
class Released:
    """A release of `store`. `deployed` says that it is the latest now; `facts` is all of it."""

    store: str
    number: int
    deployed: bool
    facts: Release

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"facts": self.facts.model_dump(mode="json")}

    def __str__(self) -> str:
        facts = self.facts
        score = ""
        if facts.test:
            rate = facts.test.cer if facts.dev_metric == "cer" else facts.test.wer
            score = f", {(facts.dev_metric or 'wer').upper()} {rate.value:.1%} on test"
        state = "the latest" if self.deployed else "not the latest"
        lines = [
            f"Release {self.number} is in {self.store}, {state}{score}.",
            f"It is {facts.weights}: {facts.choice}.",
            f"Formats: {', '.join(verdict.format for verdict in facts.formats)}",
        ]
        lines += [f"Not released: {told(verdict)}" for verdict in facts.refused]
        if facts.forced:
            lines.append(f"Released by force: {facts.forced}")
        lines.append(f"Try it:\n  modersmal transcribe AUDIO --model {self.store}#{self.number}")
        return "\n".join(lines)


def release(
    run: str | Path,
    to: str | Path,
    *,
    formats: Sequence[str] | None = None,
    force: str | None = None,
    corpus: Path | None = None,
    deploy: bool = True,
) -> Released:
    """Release the best weights of `run` (a folder or a URL) into the store `to`.

    `formats` are those of the recipe's [release] where it is None. `force` is a reason to release
    what would be refused; the card tells it. `corpus` is where the run's corpus is, if it is not
    beside the run. Without `deploy` it is put into the store, and latest stays where it is.

    Raises:
        ModelError: the run has nothing to release.
        NotReleased: it would be refused: a format does not write what the model writes, or the
            model is worse than an earlier release.
        RecipeError: there is no such format.
        CorpusError: the corpus is missing, or has nothing to prove a release on.
        StoreError: the store cannot be reached or written; `latest` stays.
        Held: another process releases this run.
    """
    source = open_run(run, corpus)
    config = source.recipe.release
    if formats is not None:
        config = config.model_copy(update={"formats": list(formats)})
    wanted = formats_of(config.formats)
    for runtime in dict.fromkeys(name for format in wanted for name in format.runtimes):
        check_installed(runtime)
    releases = Releases.open(str(to))
    releases.must_be_writable()
    keep_little_freed()
    with _alone(source.folder):
        draft = Draft(source.folder / WORK, _key(source, config))
        released = _Making(source, config, releases, draft, force, deploy).release(wanted)
        draft.remove()
    return released


def told(verdict: Verdict) -> str:
    """A format that failed, and how, in one line."""
    return f"{verdict.format}: {'; '.join(verdict.failures)}"


def _key(source: Source, config: ReleaseConfig) -> dict[str, Any]:
    """All that a draft depends on; formats come and go."""
    checkpoints = [str(name) for name in source.checkpoints.names()]
    alone = None if checkpoints or not source.model else store.sha256(source.model / store.MANIFEST)
    return {
        "modersmal": __version__,
        "identity": source.identity,
        "checkpoints": checkpoints,
        "model": alone,
        "release": config.model_dump(mode="json", exclude={"formats"}),
        "evaluate": source.recipe.evaluate.model_dump(mode="json"),
    }


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    with store.writing(run):
        try:
            lock = FileLock(run / f"{WORK}.lock").acquire(blocking=False)
        except Timeout:
            raise Held(f"another process releases {run}; start again when it has ended") from None
    with lock:
        yield


@dataclass(frozen=True)
class _Making:
    source: Source
    config: ReleaseConfig
    releases: Releases
    draft: Draft
    force: str | None
    deploy: bool

    def release(self, wanted: Sequence[Format]) -> Released:
        made = self.draft.once("model", self._model)
        give_back_memory()
        chosen = Chosen(**made["chosen"])
        say(f"The model is {chosen.weights}: {chosen.reason}")
        for format in FORMATS.values():
            if format in wanted:
                self.draft.once(f"export {format.name}", partial(self._export, format))
            else:
                self._remove(format)
        verdicts = self._verdicts(wanted)
        failed = [verdict for verdict in verdicts if not verdict.passed]
        objections = _of_the_model(verdicts)
        if objections:  # forced: the other formats are of the model that is wanted all the same
            failed = []
        for verdict in failed:
            self._remove(FORMATS[verdict.format])
        test, base = self._scores()
        compared = self._compared(test, objections) if test else {}
        forced = "; ".join([str(self.force), *objections]) if objections else None
        facts = gather(self.source.folder, self.source.corpus, self.draft.folder, chosen)
        facts = facts.model_copy(
            update={
                "content": self._content(),
                "parent": self.releases.latest(),
                "alignment": made["alignment"],
                "test": test,
                "base_test": base,
                "comparisons": tuple(compared.values()),
                "formats": tuple(one for one in verdicts if one not in failed),
                "refused": tuple(failed),
                "forced": forced,
            }
        )
        return self._add(facts, compared)

    def _model(self) -> dict[str, Any]:
        """The best weights as a complete folder, with heads that tell the times of words."""
        corpus, folder = self.source.corpus, self.draft.folder
        whisper, chosen = choose(self.source, self.config, self.draft.work / "candidates.json")
        alignment = self._find_heads(whisper)
        save_complete(whisper, folder, resolve(corpus.language, corpus.language_token))
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        card["weights"] = chosen.weights
        if traces := sorted({*lineage_of(self.source.folder), *learned_from(corpus)}):
            card[LEARNED_FROM] = traces
        store.write_json(folder / CARD_FILE, card)
        return {"chosen": chosen.to_json(), "alignment": alignment}

    def _find_heads(self, whisper: Whisper) -> str:
        """Let the model name the heads that follow the audio; returns what that gained."""
        corpus = self.source.corpus
        windows = timed_windows(corpus.split("dev" if "dev" in corpus.splits else "train"))
        if not windows:
            return "the heads that tell the times of words are its base's: nothing to find them by"
        say("Looking for the heads that tell the times of words")
        found = find_heads(whisper, windows, corpus.language_token)
        whisper.generation.update(alignment_heads=[list(head) for head in found.heads])
        return (
            f"times of words are {found.after_s:.2f} s off (median, {found.edges} known times), "
            f"by the heads that its base names {found.before_s:.2f} s"
        )

    def _export(self, format: Format) -> None:
        if format.family != "hf":
            say(f"Writing {format.name}")
            export(self.draft.folder, self.draft.folder, format.name)
            give_back_memory()

    def _verdicts(self, wanted: Sequence[Format]) -> list[Verdict]:
        """How each format did in its runtimes. Raises ModelError where the model itself, as hf has
        it, failed, and is not forced."""
        golden = golden_set(self.source.corpus, self.config.golden_clips)
        token, evaluate = self.source.corpus.language_token, self.source.recipe.evaluate
        table = self.draft.once(
            "expected",
            lambda: asdict(
                expected(self.draft.folder, golden, token, config=evaluate, device=_device())
            ),
        )
        model = Expected.of(table)
        base_speaks = model.speaks_in_silence and self._base_speaks(golden, token)
        verdicts = []
        for format in wanted:
            proven = partial(self._prove, format, golden, model, base_speaks=base_speaks)
            table = self.draft.once(f"prove {format.name}", proven)
            verdicts.append(Verdict.model_validate(table))
            if not verdicts[-1].passed:
                say(told(verdicts[-1]))
                self._must_be_forced(_of_the_model(verdicts))
        return verdicts

    def _prove(
        self, format: Format, golden: Golden, model: Expected, *, base_speaks: bool
    ) -> dict[str, Any]:
        verdict = prove(
            self.draft.folder,
            format.name,
            golden,
            model,
            self.source.corpus.language_token,
            max_quantised_loss=self.config.max_quantised_loss,
            base_speaks_in_silence=base_speaks,
            config=self.source.recipe.evaluate,
            device=_device(),
        )
        return verdict.model_dump(mode="json")

    def _base_speaks(self, golden: Golden, token: str) -> bool:
        """Whether the base, too, writes text where nobody speaks; where it has gone, most do."""

        def ask() -> bool:
            try:
                return speaks_in_silence(self.source.recipe.model, golden, token, _device())
            except (ModelError, HubError) as error:
                say(f"The model writes text of silence, and its base cannot be asked: {error}")
                return True

        return bool(self.draft.once("base in silence", ask))

    def _remove(self, format: Format) -> None:
        """Let a format be no part of the draft."""
        self.draft.forget(f"export {format.name}")
        place = format.within(self.draft.folder)
        with store.writing(place):
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    def _scores(self) -> tuple[SplitScore | None, SplitScore | None]:
        """What the model scores on test, and what its base does."""
        corpus, evaluate = self.source.corpus, self.source.recipe.evaluate
        if "test" not in corpus.splits or not len(corpus.split("test")):
            say("The corpus has no test split: the release is not compared with earlier ones")
            return None, None
        folder, name = self.draft.folder, self.source.name
        mine = score_test(str(folder), corpus, folder, system=name, config=evaluate)
        model = self.source.recipe.model
        began_with = release_of(model)
        system = read_card(folder).base or model  # not a path of this machine
        if began_with is not None:
            system = f"release {began_with}"
        try:
            base = score_test(model, corpus, folder, name="base", system=system, config=evaluate)
        except (ModelError, HubError) as error:
            say(f"What the base scores is not known: {error}")
            return mine, None
        return mine, base

    def _compared(self, test: SplitScore, objections: list[str]) -> dict[int, Comparison]:
        """With the deployed release, and with the best there ever was. What they have against it
        is added to `objections`; raises ModelError where there is any and it is not forced."""
        found = {}
        for number in rivals(self.releases.list(), test):
            try:
                found[number] = self._compare(test, number)
            except (ModelError, StoreDamaged, StoreMissing) as error:
                objections.append(f"it cannot be compared with release {number}: {error}")
        objections += [_worse(one) for one in found.values() if one.worse]
        self._must_be_forced(objections)
        return found

    def _compare(self, test: SplitScore, number: int) -> Comparison:
        found = compare(
            test,
            self.draft.folder,
            self.releases.folder(number),
            self.source.corpus,
            against=f"release {number}",
            name=f"release-{number}",
            config=self.source.recipe.evaluate,
        )
        change = f"{100 * found.difference:+.2f} points of {found.metric.upper()}"
        say(f"Against release {number}: {change}, {'worse' if found.worse else 'not worse'}")
        return found

    def _must_be_forced(self, objections: Sequence[str]) -> None:
        if objections and not self.force:
            raise NotReleased(
                f"not released, and latest is what it was: {'; '.join(objections)}; if it must be, "
                "--force REASON releases it, and its card tells why"
            )

    def _content(self) -> str:
        """The hash that the model is known by, in all its formats."""
        folder = self.draft.folder
        names = [name for name in files_of(folder) if not name.startswith(_NO_MODEL)]
        return content_of({name: store.sha256(folder / name) for name in names})

    def _add(self, facts: Release, compared: dict[int, Comparison]) -> Released:
        folder = self.draft.folder
        write_curves(self.source.folder, folder)
        store.write_json(folder / "recipe.json", facts.recipe)
        facts.write(folder)

        def numbered(number: int) -> None:
            write_card(facts.model_copy(update={"number": number}), folder)

        def decide(deployed: int | None) -> bool:
            """Another may have been deployed since the comparison."""
            if not self.deploy:
                return False
            if deployed is None or deployed in compared or facts.test is None or self.force:
                return True
            found = self._compare(facts.test, deployed)
            if found.worse:
                raise ModelError(
                    f"release {deployed} was deployed meanwhile, and stays so: {_worse(found)}; "
                    f"`modersmal rollback {self.releases.url} --to NUMBER` deploys this one"
                )
            return True

        number = self.releases.add(folder, decide, numbered=numbered)
        entry = next(entry for entry in self.releases.list() if entry.number == number)
        released = Release.model_validate(entry.facts)
        return Released(self.releases.url, number, entry.state == "latest", released)


def _device() -> Device:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _of_the_model(verdicts: Sequence[Verdict]) -> list[str]:
    """What there is against the model itself, which is in `hf` as it was trained."""
    return [told(one) for one in verdicts if one.format == "hf" and not one.passed]


def _worse(found: Comparison) -> str:
    low, high = (100 * edge for edge in (found.low or 0.0, found.high or 0.0))
    return (
        f"its {found.metric.upper()} on test is {100 * found.difference:.2f} points above that of "
        f"{found.against} (95 %: {low:.2f} to {high:.2f})"
    )


def say(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
