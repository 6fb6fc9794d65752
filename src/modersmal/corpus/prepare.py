"""prepare: from sources to a corpus, every clip decoded once, checked, and kept or accounted for.

Sources are read into a plan, the plan's shards are prepared by workers, and what only the whole
corpus can tell (duplicates, overlap) is settled at the end. A killed run goes on with the shards
that are missing.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.config import ChecksConfig, DataConfig, TextConfig
from modersmal.corpus.alignment import CACHE_PREFIX, Aligned, Aligner
from modersmal.corpus.describe import describe
from modersmal.corpus.finish import finish
from modersmal.corpus.licences import UNKNOWN, licence
from modersmal.corpus.plan import Plan, PlannedShard, load_plan, make_plan
from modersmal.corpus.pool import WorkerPool, available_cores
from modersmal.corpus.sample import Sample
from modersmal.corpus.schema import CORPUS_FILE, FORMAT, WORK_FOLDER
from modersmal.corpus.shards import Corpus
from modersmal.corpus.sources import is_address, open_sources
from modersmal.corpus.sources.base import Source
from modersmal.corpus.unfinished import alone
from modersmal.corpus.worker import Job, prepare_shard
from modersmal.errors import CorpusError
from modersmal.language import Language, resolve
from modersmal.progress import progress


@dataclass(frozen=True)
class Prepared:
    """A finished corpus; printed, it is the closing table.

    `gone` are sources that are there no more; the corpus was made from them earlier.
    """

    corpus: Corpus
    gone: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return self.corpus.path

    @property
    def notes(self) -> list[str]:
        """What is to be known of it, beside the table."""
        return [f"{one} is gone; the corpus, made earlier, is taken as it is" for one in self.gone]

    def __str__(self) -> str:
        return "\n".join([describe(self.corpus.info), *(f"Note: {note}." for note in self.notes)])


def prepare(
    sources: list[str],
    to: Path,
    *,
    language: str = "sv",
    language_token: str | None = None,
    data: DataConfig | None = None,
    text: TextConfig | None = None,
    checks: ChecksConfig | None = None,
    sample: Sample | None = None,
    aligner: Aligner | None = None,
) -> Prepared:
    """Turn sources into the corpus folder `to`; go on where a killed run stopped.

    The result depends on sources and settings alone, byte for byte, never on `data.workers`. A
    finished corpus of the same is returned as it is, also where its sources are gone since. With
    `sample`, only the clips that it draws are taken. `aligner` finds sentences in recordings whose
    text has no times; without it, they are rejected for their length.

    Raises:
        CorpusError: a source cannot be read, or `to` holds something else.
        LanguageError: Whisper does not know the language and no token is borrowed.
        StoreError: the disk is full or cannot be written.
        Held: another process prepares it.
    """
    data, text, checks = data or DataConfig(), text or TextConfig(), checks or ChecksConfig()
    _must_be_here(to)
    own = licence(data.licence, data.licence_url, data.redistributable)
    settings = _settings(resolve(language, language_token), data, text, checks)
    if sample:
        settings["sample"] = sample.clips
    if own != UNKNOWN:
        settings["licence"] = asdict(own)
    finished = Corpus.open(to) if (to / CORPUS_FILE).exists() else None
    gone = tuple(one for one in sources if not (is_address(one) or Path(one).expanduser().exists()))
    if finished and gone and _could_be_of(finished, settings, sources):
        return Prepared(finished, gone)
    opened = open_sources(sources, language, own, checks.max_duration_s)
    fingerprints = [source.fingerprint() for source in opened]
    if aligner and any(source.unaligned for source in opened):
        settings["aligned_with"] = aligner.name
    key = _key(settings, fingerprints)
    if finished:
        _check_same(finished, key)
        _remove_work(to, to / WORK_FOLDER)
        return Prepared(finished)
    work = to / WORK_FOLDER
    _check_folder(to, work)
    with alone(to):
        for source in opened:
            source.check()
        for source in opened:
            source.fetch()
        with WorkerPool(data.workers or available_cores()) as pool:
            plan = load_plan(work, key)
            if plan is None or not _settled(opened, plan):
                drawn = sample.draw(opened, data, language) if sample else opened
                align = Aligned(aligner, work, language, checks.max_duration_s) if aligner else None
                plan = _begin(drawn, to, work, key, data, language, align)
            roots = tuple(source.root for source in opened)
            job = Job(plan, to, roots, language, data.codec, text, checks)
            _prepare_shards(pool, job, opened)
        _must_be_as_they_were(opened, fingerprints)
        corpus = finish(job, settings | {"key": key}, disjoint=data.disjoint)
        _remove_work(to, work)
        return Prepared(corpus)


def _must_be_as_they_were(sources: list[Source], fingerprints: list[str]) -> None:
    """Raises CorpusError where clips that can be erased have changed since they were planned."""
    for source, before in zip(sources, fingerprints, strict=True):
        if source.can_be_erased and source.fingerprint() != before:
            raise CorpusError(
                f"{source.name} were changed or erased while they were prepared; start again"
            )


def _settings(
    spoken: Language, data: DataConfig, text: TextConfig, checks: ChecksConfig
) -> dict[str, Any]:
    """What a corpus says of how it was made."""
    return {
        "language": spoken.code,
        "language_token": spoken.token,
        "codec": data.codec,
        "disjoint": data.disjoint,
        "dev_share": data.dev_share,
        "test_share": data.test_share,
        "text": text.model_dump(),
        "checks": checks.model_dump(),
    }


def _must_be_here(to: Path) -> None:
    """Raises CorpusError for a URL, which a path shows by its first part."""
    if to.parts and to.parts[0].endswith(":") and to.parts[0] != to.drive:
        raise CorpusError(
            f"{to} is no folder of this machine; for a store far away, set it as the recipe's "
            "`store`: `modersmal run` prepares here and puts the corpus there"
        )


def _settled(sources: list[Source], plan: Plan) -> bool:
    """Whether every source is still, or again, in the state that was planned."""
    settled = [source.settle(entry) for source, entry in zip(sources, plan.sources, strict=True)]
    return all(settled)


def _prepare_shards(pool: WorkerPool, job: Job, sources: list[Source]) -> None:
    shards = job.plan.shards
    todo = [shard for shard in shards if not job.outcome_path(shard).exists()]
    done = job.plan.rows - sum(shard.rows for shard in todo)
    with progress("Preparing", total=job.plan.rows, unit="clips", done=done) as advance:
        for rows in pool.run(prepare_shard, _tasks(job, sources, todo)):
            advance(rows)


def _tasks(job: Job, sources: list[Source], todo: list[PlannedShard]) -> Iterator[tuple[Any, ...]]:
    """The arguments of each call, the largest shards first where the order is free."""
    for number, source in enumerate(sources):
        mine = [shard for shard in todo if shard.source == number]
        if source.root is None:
            if mine:
                yield from ((job, shard, clips) for shard, clips in _stream(job, source, mine))
        else:
            yield from ((job, shard) for shard in sorted(mine, key=lambda shard: -shard.rows))


def _stream(
    job: Job, source: Source, todo: list[PlannedShard]
) -> Iterator[tuple[PlannedShard, list[bytes]]]:
    """Read a stream of clips once, handing out each shard as soon as its last clip has come."""
    queues = {split: _Queue(job.plan, todo, split) for split in {shard.split for shard in todo}}
    for position, clip in source.clips(
        [span for shard in todo for span in job.plan.spans_of(shard)]
    ):
        for queue in queues.values():
            yield from queue.offer(position, clip)
    if any(queue.shards for queue in queues.values()):
        raise CorpusError(f"{source.name} has changed while it was read; start again")


class _Queue:
    """One split's shards that wait for their clips, in the order of the stream."""

    def __init__(self, plan: Plan, todo: list[PlannedShard], split: str) -> None:
        self.plan = plan
        self.shards = [shard for shard in reversed(todo) if shard.split == split]
        self.clips: list[bytes] = []
        self._begin()

    def offer(self, position: int, clip: bytes) -> Iterator[tuple[PlannedShard, list[bytes]]]:
        """Take the clip as often as the next rows want it; yield shards that it completes."""
        while self.shards and self.positions[len(self.clips)] == position:
            self.clips.append(clip)
            if len(self.clips) == len(self.positions):
                yield self.shards.pop(), self.clips
                self._begin()

    def _begin(self) -> None:
        self.clips = []
        self.positions = self.plan.positions_of(self.shards[-1]) if self.shards else []


def _begin(
    sources: list[Source],
    to: Path,
    work: Path,
    key: str,
    data: DataConfig,
    language: str,
    align: Aligned | None,
) -> Plan:
    """Start anew: what a run with other sources or settings left unfinished is of no use.

    But for alignments, which took long, and say themselves what they are of.
    """
    _remove_work(to, work, keep=f"{CACHE_PREFIX}*.json")
    with store.writing(work):
        work.mkdir(parents=True, exist_ok=True)
    plan = make_plan(sources, work, key, data, language, align)
    if not plan.shards:
        raise CorpusError(
            f"none of {', '.join(source.name for source in sources)} has a row that can be a clip"
        )
    return plan


def _check_folder(to: Path, work: Path) -> None:
    """Raises CorpusError where the folder has files of somebody else's."""
    if to.exists() and not to.is_dir():
        raise CorpusError(f"{to} is a file; name a folder for the corpus")
    if to.is_dir() and any(to.iterdir()) and not work.is_dir():
        raise CorpusError(
            f"{to} holds files that are no corpus; name an empty folder, or a new one"
        )


def _remove_work(to: Path, work: Path, keep: str | None = None) -> None:
    """Remove the work folder, and the shards of a corpus that never was finished.

    Files of the work folder that match `keep` stay.
    """
    if work.is_dir() and not (to / CORPUS_FILE).exists():
        for shard in to.glob("*-[0-9][0-9][0-9][0-9][0-9].parquet"):
            shard.unlink()
    if to.is_dir():
        store.remove_drafts(to)
    if keep is None or not any(work.glob(keep)):
        shutil.rmtree(work, ignore_errors=True)
        return
    kept = set(work.glob(keep))
    for file in set(work.iterdir()) - kept:
        file.unlink()


def _could_be_of(corpus: Corpus, settings: dict[str, Any], sources: list[str]) -> bool:
    """Whether nothing that can be told without the sources speaks against it."""
    known = {source.get("address") for source in corpus.info["sources"]}
    return settings.items() <= corpus.info.items() and known >= set(filter(is_address, sources))


def _check_same(corpus: Corpus, key: str) -> None:
    """Raises CorpusError where the corpus that is there already is another one."""
    if corpus.info.get("key") != key:
        raise CorpusError(
            f"{corpus.path} holds a corpus of other sources or settings; name another folder for "
            "this one, or delete that"
        )


def _key(settings: dict[str, Any], fingerprints: list[str]) -> str:
    """A hash of all that the corpus depends on."""
    described = [FORMAT, settings, fingerprints]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
