"""A person at the door of a server: recordings that are written already, edits, consent."""

import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from api_server import Running

from modersmal.audio import SAMPLE_RATE
from modersmal.config import ServeConfig
from modersmal.config.serving import CorrectionsConfig
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.correction import Correction
from modersmal.corpus.corrections.voices import Voices
from modersmal.errors import StoreError
from modersmal.serve.engine.results import Piece, Spoken
from modersmal.serve.jobs.job import Job
from modersmal.serve.jobs.ledger import Ledger
from modersmal.serve.serving import Serving
from modersmal.serve.voices import Voices as Recordings
from modersmal.transcribe.formats import Word

SETTINGS = ServeConfig(
    corrections=CorrectionsConfig(
        purpose="To write Swedish better.",
        consent="My corrections and their audio may be learned from.",
        retention_days=30,
    )
)
SAID = ("Klockan är hal nio.", "Vi ses i morgon.", "Det regnar i Borås.", "Tack för i dag.")
EACH_S = 2.0


class Store:
    """Stands for a store that learned from corrections: it may be away."""

    def __init__(self) -> None:
        self.away = False
        self.forgotten: set[str] = set()

    def learned(self, ids: Collection[str]) -> list[str]:
        if self.away:
            raise StoreError("the store is away")
        return ["small#4"]

    def forget(self, ids: Collection[str]) -> None:
        if self.away:
            raise StoreError("the store is away")
        self.forgotten |= set(ids)


@dataclass(frozen=True)
class Told:
    """One job at the door."""

    client: httpx.Client
    token: str
    id: str
    folder: Any = field(repr=False)

    def get(self) -> dict[str, Any]:
        return dict(self.client.get(f"/jobs/{self.token}").raise_for_status().json())

    def segments(self) -> list[dict[str, Any]]:
        return list(self.get()["segments"])

    def send(self, method: str, path: str = "", **body: Any) -> httpx.Response:
        return self.client.request(method, f"/jobs/{self.token}{path}", json=body or None)

    def edit(self, number: int, text: str) -> dict[str, Any]:
        segment = self.segments()[number]
        answer = self.send(
            "PATCH", f"/segments/{segment['id']}", text=text, version=segment["version"]
        )
        return dict(answer.raise_for_status().json())

    def do(self, number: int, action: str, **body: Any) -> dict[str, Any]:
        segment = self.segments()[number]
        path = f"/segments/{segment['id']}/{action}"
        answer = self.send("POST", path, version=segment["version"], **body)
        return dict(answer.raise_for_status().json())

    def agree(
        self, voice: str = "mine", ground: str = "consent", key: str | None = None
    ) -> httpx.Response:
        terms = self.client.get("/corrections/terms").json()
        body = {"version": terms["version"], "voice": voice, "ground": ground}
        return self.send("POST", "/consent", **body | ({"person_key": key} if key else {}))

    def agreed(self, **choices: Any) -> str:
        return str(self.agree(**choices).raise_for_status().json()["person_key"])


@dataclass(frozen=True)
class Desk:
    """A server that keeps corrections, and what it has kept."""

    running: Running
    client: httpx.Client
    store: Store

    @property
    def book(self) -> Book:
        return Book(self.running.serving.database)

    @property
    def voices(self) -> Voices:
        return Voices(self.running.serving.folder / "corrections")

    def job(self, said: Sequence[str] = SAID, **values: Any) -> Told:
        """A recording of `said`, one after the other, that was written already."""
        return put_job(self.running.serving, self.client, said, **values)

    def kept(self, job: Told) -> list[Correction]:
        return self.book.of_recording(job.id)


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """All files there are, while the server may remove some."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield Path(parent) / name, (Path(parent) / name).read_bytes()


def put_job(
    serving: Serving, client: httpx.Client, said: Sequence[str] = SAID, **values: Any
) -> Told:
    token, job_id, now_s = secrets.token_urlsafe(32), secrets.token_hex(16), time.time()
    lasts_s = len(said) * EACH_S
    about: dict[str, Any] = {
        "id": job_id,
        "title": "möte.wav",
        "state": "writing",
        "wish": {},
        "protected": False,
        "created_s": now_s,
        "expires_s": now_s + 3600,
        "duration_s": lasts_s,
        "reached_s": 0.0,
        "next_part": 0,
        "language": "sv",
        "release": None,
        "error": None,
        "changes": 0,
    }
    recordings = Recordings(serving.recordings_folder)
    recordings.make(job_id)
    samples = np.random.default_rng().normal(0, 0.1, round(lasts_s * SAMPLE_RATE))
    soundfile.write(
        recordings.audio(job_id), samples.astype(np.float32), SAMPLE_RATE, subtype="PCM_16"
    )
    ledger = Ledger(serving.database)
    ledger.add(Job(**about | values), token)
    spoken = tuple(_spoken(number * EACH_S, text) for number, text in enumerate(said))
    ledger.write(job_id, Piece(0, 1, spoken, "sv", "small#3"), lasts_s)
    ledger.move(job_id, "done")
    return Told(client, token, job_id, recordings.folder(job_id))


def _spoken(start_s: float, text: str) -> Spoken:
    texts = text.split()
    each_s = EACH_S / len(texts)
    words = tuple(
        Word(round(start_s + n * each_s, 3), round(start_s + (n + 1) * each_s, 3), word, 0.9)
        for n, word in enumerate(texts)
    )
    return Spoken(start_s, start_s + EACH_S, text, words, (1, 2), -0.1 - start_s, 0.0, 1.0, 0.0)
