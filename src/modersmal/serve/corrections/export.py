"""All that a person has corrected, as a file of their own."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.correction import Correction
from modersmal.store.files import writing

_NOT_THEIRS = ("reviewer",)  # another person


def write_export(path: Path, collection: Collection, person_id: str) -> None:
    """Write a zip: `corrections.json`, and the audio of each in `audio/`.

    What is erased while it is written is left out.

    Raises:
        StoreError: the disk is full.
    """
    book, rows = collection.book, []
    with writing(path), zipfile.ZipFile(path, "w") as archive:
        for one in book.of_person(person_id):
            try:
                audio = collection.voices.path(one.id).read_bytes()
            except FileNotFoundError:
                continue
            row = _row(one)
            archive.writestr(row["audio"], audio)
            rows.append(row)
        versions = {row["consent_version"] for row in rows}
        agreed = {version: terms for version in versions if (terms := book.terms(version))}
        told = {
            "person": person_id,
            "agreed_to": {version: asdict(terms) for version, terms in agreed.items()},
            "corrections": rows,
        }
        archive.writestr("corrections.json", json.dumps(told, ensure_ascii=False, indent=2))


def _row(one: Correction) -> dict[str, Any]:
    row = {name: value for name, value in asdict(one).items() if name not in _NOT_THEIRS}
    return row | {"audio": f"audio/{one.id}.flac"}
