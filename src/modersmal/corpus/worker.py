"""Prepare one shard: read, decode and check each of its clips once, write what passes.

Beside the shard stands its outcome, a small JSON file that is written last: with it, the shard is
done. It says what was rejected and why, and, of each clip kept, what the corpus as a whole has to
compare (hashes of audio, speaker and sentence).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from modersmal import store
from modersmal.audio import SAMPLE_RATE, Audio, decode, encode_flac, encode_opus
from modersmal.config import ChecksConfig, Codec, TextConfig
from modersmal.corpus.checks import Finding, check_audio, check_rate, check_text, check_tokens
from modersmal.corpus.cutting import Cutter, PastEndError
from modersmal.corpus.ogg import with_fixed_serial
from modersmal.corpus.plan import Plan, PlannedRow, PlannedShard
from modersmal.corpus.schema import shard_name, shard_schema
from modersmal.corpus.shards import Shard, ShardWriter
from modersmal.corpus.sources.base import MAX_CLIP_BYTES, LeavingError, clip_path, hash64
from modersmal.errors import AudioError, EmptyAudioError, LongAudioError
from modersmal.text import sentence_key, style

DIGEST_BYTES = 16
_MAX_DECODED_S = 600.0


@dataclass(frozen=True)
class Job:
    """What all shards of a corpus share; `roots` are the sources' folders, None for archives."""

    plan: Plan
    to: Path
    roots: tuple[Path | None, ...]
    language: str
    codec: Codec
    text: TextConfig
    checks: ChecksConfig

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(self.plan.extras, self.plan.recordings)

    def shard_path(self, shard: PlannedShard) -> Path:
        return self.to / shard_name(shard.split, shard.index)

    def outcome_path(self, shard: PlannedShard) -> Path:
        return self.plan.work / f"outcome-{shard.number:05d}.json"


@dataclass
class Outcome:
    """What became of a shard's rows; `kept` are lists over the clips kept, by row.

    `rejected` and `flagged` map rows to their findings. Audio digests are hexadecimal.
    """

    shard: Shard | None
    kept: dict[str, list[Any]]
    rejected: dict[int, list[Finding]]
    flagged: dict[int, list[str]]


def prepare_shard(job: Job, shard: PlannedShard, clips: Sequence[bytes] | None = None) -> int:
    """Prepare one shard; `clips` are its encoded clips where they come from an archive.

    Returns the number of its rows. Raises StoreError where the disk is full.
    """
    rows = job.plan.rows_of(shard)
    kept: dict[str, list[Any]] = {"row": [], "digest": [], "sentence": [], "speaker": []}
    outcome = Outcome(None, kept, {}, {})
    with ShardWriter(job.shard_path(shard), job.schema) as writer:
        for number, (row, clip) in enumerate(_examined(job, shard, rows, clips)):
            if clip.rejected(shard.split):
                outcome.rejected[number] = clip.findings
                continue
            writer.add(_columns(job, shard, row, clip))
            flags = [finding.reason for finding in clip.findings]
            if flags:
                outcome.flagged[number] = flags
            kept["row"].append(number)
            kept["digest"].append(hashlib.sha256(clip.data).hexdigest()[: 2 * DIGEST_BYTES])
            kept["sentence"].append(hash64(sentence_key(clip.text, job.language)))
            kept["speaker"].append(hash64(row.speaker) if row.speaker else None)
    outcome.shard = writer.shard
    store.write_json(job.outcome_path(shard), asdict(outcome))
    return len(rows)


def read_outcome(path: Path) -> Outcome:
    """Read what `prepare_shard` wrote."""
    written = json.loads(path.read_text(encoding="utf-8"))
    shard = written["shard"]
    return Outcome(
        Shard(**shard | {"row_groups": tuple(shard["row_groups"])}) if shard else None,
        written["kept"],
        {
            int(row): [Finding(**finding) for finding in findings]
            for row, findings in written["rejected"].items()
        },
        {int(row): flags for row, flags in written["flagged"].items()},
    )


@dataclass
class _Clip:
    """A clip under examination: `audio` stays None where it cannot be had, or is not needed."""

    data: bytes
    text: str
    findings: list[Finding]
    audio: Audio | None = None
    segments: list[dict[str, Any]] | None = None

    @property
    def duration_s(self) -> float:
        return self.audio.duration_s if self.audio else 0.0

    def rejected(self, split: str) -> bool:
        """dev and test keep what can be heard and has a text, so that scores stay comparable."""
        return self.audio is None or (split == "train" and bool(self.findings))


def _examined(
    job: Job, shard: PlannedShard, rows: list[PlannedRow], clips: Sequence[bytes] | None
) -> Iterator[tuple[PlannedRow, _Clip]]:
    """Every row with its clip; what is cut out of one recording in one pass over it."""
    for recording, group in groupby(
        enumerate(rows), key=lambda item: item[1].path if item[1].cut else None
    ):
        cutter = None if recording is None else Cutter(job.roots[shard.source], recording)
        for number, row in group:
            if cutter:
                yield row, _examine_piece(job, row, cutter)
            else:
                yield row, _examine(job, shard, row, clips[number] if clips is not None else None)


def _examine_piece(job: Job, row: PlannedRow, cutter: Cutter) -> _Clip:
    """Cut a clip out of its recording and check it."""
    clip = _Clip(b"", style(row.text, job.text, job.language), [])
    clip.findings += check_text(clip.text)
    if clip.findings:
        return clip
    try:
        audio, segments = cutter.cut(json.loads(row.cut or ""))
    except PastEndError as error:
        clip.findings.append(Finding("past-end", str(error)))
        return clip
    except AudioError as error:
        clip.findings.append(Finding(_reason(error), str(error)))
        return clip
    clip.audio = audio
    clip.segments = [
        {"start": start_s, "end": end_s, "text": style(text, job.text, job.language)}
        for start_s, end_s, text in segments
    ]
    clip.data = _encode("opus" if job.codec == "opus" else "flac", audio)
    clip.findings += check_audio(audio, job.checks)
    clip.findings += check_tokens(clip.text)
    said_s = sum(end_s - start_s for start_s, end_s, _ in segments)
    clip.findings += check_rate(clip.text, said_s, job.checks)
    return clip


def _examine(job: Job, shard: PlannedShard, row: PlannedRow, data: bytes | None) -> _Clip:
    clip = _Clip(b"", style(row.text, job.text, job.language), [])
    clip.findings += check_text(clip.text)
    if clip.findings:
        return clip
    try:
        clip.data = _read(job.roots[shard.source], row.path) if data is None else data
        clip.audio = decode(clip.data, name=row.path, max_duration_s=_MAX_DECODED_S)
    except AudioError as error:
        clip.findings.append(Finding(_reason(error), str(error)))
        return clip
    clip.findings += check_audio(clip.audio, job.checks)
    clip.findings += check_tokens(clip.text)
    clip.findings += check_rate(clip.text, clip.duration_s, job.checks)
    return clip


def _read(root: Path | None, path: str) -> bytes:
    if root is None:
        raise AudioError(f"{path} did not come with its archive")
    found = clip_path(root, path)
    try:
        if found.stat().st_size > MAX_CLIP_BYTES:
            raise AudioError(f"{path} has over {MAX_CLIP_BYTES:,} bytes")
        if not found.is_file():
            raise AudioError(f"{path} is not a file")
        return found.read_bytes()
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist") from None
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror or error}") from error


def _reason(error: AudioError) -> str:
    for kind, reason in _REASONS_BY_ERROR.items():
        if isinstance(error, kind):
            return reason
    return "unreadable"


_REASONS_BY_ERROR = {
    LeavingError: "outside",
    EmptyAudioError: "empty",
    LongAudioError: "too-long",
}


def _columns(job: Job, shard: PlannedShard, row: PlannedRow, clip: _Clip) -> dict[str, Any]:
    extras = json.loads(row.extras)
    columns = {name: extras.get(name) for name in job.plan.extras} | {
        "id": row.id,
        "audio": _audio(job.codec, row, clip),
        "text": clip.text,
        "duration": clip.duration_s,
        "speaker": row.speaker,
        "source": job.plan.sources[shard.source]["name"],
        "split": shard.split,
        "flags": [finding.reason for finding in clip.findings],
    }
    if row.cut:
        columns["recording"] = f"{columns['source']}/{row.path}"
        columns["offset"] = json.loads(row.cut)["start"] / SAMPLE_RATE
        columns["segments"] = clip.segments
    return columns


def _audio(codec: Codec, row: PlannedRow, clip: _Clip) -> dict[str, Any]:
    name = PurePosixPath(row.path)
    if row.cut:
        suffix = "opus" if codec == "opus" else "flac"
        first = json.loads(row.cut)["start"]
        return {"bytes": clip.data, "path": f"{name.stem}-{first / SAMPLE_RATE:.3f}.{suffix}"}
    if codec == "original" or clip.audio is None:
        return {"bytes": clip.data, "path": name.name}
    return {"bytes": _encode(codec, clip.audio), "path": f"{name.stem}.{codec}"}


def _encode(codec: Codec, audio: Audio) -> bytes:
    if codec == "opus":
        return with_fixed_serial(encode_opus(audio.samples))
    return encode_flac(audio.samples)
