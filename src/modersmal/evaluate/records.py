"""What is kept of a score: the conditions it was taken under, and every clip with its errors."""

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.corpus import Split
from modersmal.errors import CorpusError
from modersmal.evaluate.metrics import Score

EVALUATION_FILE = "evaluation.json"
_TEXT_NAMES = ("hypothesis", "text")


@dataclass(frozen=True)
class Conditions:
    """What two scores must share to be compared.

    `clips` is a hash of the clips' ids in order; `context` and `beams` are the settings asked
    for, None for a system whose settings are not known.
    """

    corpus: str
    split: str
    clips: str
    language: str
    normaliser: str
    context: str | None
    beams: int | None

    def check_comparable(self, other: "Conditions") -> None:
        """Raises CorpusError naming what differs."""
        for name, (ours, theirs) in self.differences(other).items():
            raise CorpusError(
                f"these scores cannot be compared, they differ in {name} "
                f"({theirs}, here {ours}); score both alike"
            )

    def differences(self, other: "Conditions") -> dict[str, tuple[str, str]]:
        """What differs, by name: ours and the other's, hashes shortened. What is not known does
        not differ."""
        ours, theirs = asdict(self), asdict(other)
        return {
            name: (_short(ours[name]), _short(theirs[name]))
            for name in ours
            if None not in (ours[name], theirs[name]) and ours[name] != theirs[name]
        }


def hash_ids(ids: Iterable[str]) -> str:
    """A hash of clip ids in their order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def write_clips(path: Path, split: Split, hypotheses: Sequence[str], score: Score) -> None:
    """Write one JSON object a line and clip: its texts, and what is wrong with the hypothesis.

    The counts are of words (CER's characters as `character_errors`), after the normaliser.
    """
    words, characters = score.normalised.word_edits, score.normalised.character_edits
    with store.replacing(path) as file:
        for clip, (id_, text) in enumerate(zip(split.ids, hypotheses, strict=True)):
            row = {
                "id": id_,
                "speaker": split.speakers[clip],
                "duration_s": round(float(split.durations_s[clip]), 3),
                "reference": split.texts[clip],
                "hypothesis": text,
                "words": int(words.units[clip]),
                "substitutions": int(words.substitutions[clip]),
                "deletions": int(words.deletions[clip]),
                "insertions": int(words.insertions[clip]),
                "characters": int(characters.units[clip]),
                "character_errors": int(characters.errors[clip]),
            }
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def read_hypotheses(path: Path, ids: Sequence[str]) -> list[str]:
    """Read what any system wrote for the clips `ids`, in their order.

    The file is JSONL, or TSV with a header: `id`, and `hypothesis` or `text`. What it holds for
    other clips is left alone.

    Raises:
        CorpusError: it cannot be read, names a clip twice, or lacks some.
    """
    found: dict[str, str] = {}
    for place, row in _rows(path):
        name = next((name for name in _TEXT_NAMES if name in row), None)
        if "id" not in row or name is None:
            raise CorpusError(f"{path}, {place}: it needs 'id', and 'hypothesis' or 'text'")
        id_, text = str(row["id"]), row[name]
        if not isinstance(text, str | None):
            raise CorpusError(f"{path}, {place}: {name!r} of {id_} is no text but {text!r}")
        if id_ in found:
            raise CorpusError(f"{path}, {place}: the clip {id_} is there twice")
        found[id_] = text or ""
    missing = [id_ for id_ in ids if id_ not in found]
    if missing:
        raise CorpusError(
            f"{path} lacks {len(missing):,} of {len(ids):,} clips, the first is {missing[0]}; "
            "every clip of the split must be there, an empty text for silence"
        )
    return [found[id_] for id_ in ids]


@dataclass(frozen=True)
class Kept:
    """What an earlier evaluation says of one split."""

    system: dict[str, Any]
    conditions: Conditions
    clips_file: str


def read_kept(folder: Path, corpus: str, split: str) -> Kept:
    """Find the split of the corpus with the hash `corpus` in what an evaluation wrote.

    Raises:
        CorpusError: it is not there, or the file is not an evaluation's.
    """
    path = folder / EVALUATION_FILE
    try:
        results = [entry["result"] for entry in json.loads(path.read_text("utf-8"))["scores"]]
        kept = [
            Kept(dict(result["system"]), Conditions(**result["conditions"]), result["clips_file"])
            for result in results
        ]
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is not the result of an evaluation: {error!r}") from error
    for one in kept:
        if (one.conditions.corpus, one.conditions.split) == (corpus, split):
            return one
    raise CorpusError(
        f"the evaluation in {folder} did not score this corpus's split {split!r}, or the corpus "
        "has changed since; score it again"
    )


def as_json(value: Any) -> Any:
    """A result as JSON's types; fields that a dataclass hides from its repr stay hidden."""
    if is_dataclass(value):
        shown = [field.name for field in fields(value) if field.repr]
        return {name: as_json(getattr(value, name)) for name in shown}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _rows(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Rows with their places ("line 7")."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".tsv":
                table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                for row in table:
                    if None in row or None in row.values():
                        columns = len(table.fieldnames or ())
                        raise CorpusError(
                            f"{path}, line {table.line_num} has not the {columns} columns of its "
                            "header; a text holds no tab"
                        )
                    yield f"line {table.line_num}", row
            else:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"line {number}", _object(line, path, number)
    except FileNotFoundError:
        raise CorpusError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as UTF-8 JSONL or TSV: {error}") from error


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(
            f"{path}, line {number} is not JSON ({error}); give JSONL, or TSV named .tsv"
        ) from None
    if not isinstance(row, dict):
        raise CorpusError(f"{path}, line {number} is not a JSON object")
    return row


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
