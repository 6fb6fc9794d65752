"""What people have corrected, out of the database of a server: `corrections:DATABASE`.

Only what may be learned from comes out; why the rest does not is said, without its text. The split
of a correction is the one that it was saved with, so that what was once set aside to measure with
is never trained on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.correction import Correction
from modersmal.corpus.corrections.voices import Voices
from modersmal.corpus.licences import Licence
from modersmal.corpus.sources.base import Refused, Row, Source, clip_size
from modersmal.database import Database
from modersmal.errors import CorpusError, LanguageError
from modersmal.language import resolve
from modersmal.text import sentence_key

PREFIX = "corrections:"
_NAME = "corrections"
_TERMS = "consent of who was recorded"
_Fault = tuple[str, str]  # a reason, and what it means


class Corrections(Source):
    """`corrections:DATABASE[#FOLDER]`; the audio is where the server put it, or in FOLDER."""

    kind = "corrections"
    licence = Licence(_TERMS, redistributable=False)
    can_be_erased = True

    def __init__(self, written: str, language: str, now: Callable[[], float] = time.time) -> None:
        self._database, _, folder = written.removeprefix(PREFIX).partition("#")
        self._language, self._now = language, now
        self._written = _token(language)
        if not self._database:
            raise CorpusError(
                f"{PREFIX} names no database: write {PREFIX}sqlite:///PATH or "
                f"{PREFIX}postgresql://USER@HOST/NAME"
            )
        with closing(Database.open(self._database, existing=True)) as database:
            place = Path(folder).expanduser() if folder else Book(database).voices()
        if place is None:
            raise CorpusError(
                "no server has kept a correction in that database yet; check its address, and that "
                "serve.corrections is set in the server's recipe"
            )
        self._voices = Voices(place.resolve())
        super().__init__(_NAME, self._voices.folder)

    def usable(self) -> list[Correction]:
        """Those that may be learned from or, set aside, measured with, as they are now."""
        return [one for one, fault in self._judged() if fault is None]

    def rows(self) -> Iterator[Row | Refused]:
        for one, fault in self._judged():
            where, path = f"the correction {one.id}", self._voices.path(one.id).name
            if fault:
                reason, detail = fault
                yield Refused(where, reason, f"{where} is left out: {detail}", path, one.split)
                continue
            yield Row(
                path=path,
                text=one.text,
                where=where,
                speaker=one.person_id if one.voice == "mine" else None,
                split=one.split,
                size=clip_size(self._voices.folder, path),
                extras={
                    "release": one.release,
                    "consent": one.consent_version,
                    "state": one.state,
                },
            )

    def _judged(self) -> Iterator[tuple[Correction, _Fault | None]]:
        """All of them, with what there is against each; what was erased is not named again."""
        with closing(Database.open(self._database, existing=True)) as database:
            book = Book(database, self._now)
            erased = book.tombstones() | self._voices.tombstones.buried()
            there = [one for one in book.all() if one.id not in erased]
        faults = [self._fault(one) for one in there]
        set_aside = {
            self._sentence(one)
            for one, fault in zip(there, faults, strict=True)
            if fault is None and one.split != "train"
        }
        for one, fault in zip(there, faults, strict=True):
            if fault is None and one.split == "train" and self._sentence(one) in set_aside:
                yield one, ("sentence-overlap", "the same is said in dev or test")
            else:
                yield one, fault

    def _fault(self, one: Correction) -> _Fault | None:
        if one.expires_s <= self._now():
            return "expired", "the time for which it may be kept is over"
        if one.untrainable:
            return _reason(one), one.untrainable
        if one.language and one.language != (self._written or one.language):
            return "other-language", f"it is in {one.language!r}, not in {self._written!r}"
        return None

    def _sentence(self, one: Correction) -> str:
        return sentence_key(one.text, self._language)


def _reason(one: Correction) -> str:
    """In a word, why it is untrainable."""
    if one.voice == "unknown":
        return "unknown-voice"
    if one.ground == "unknown":
        return "unknown-ground"
    return "unreviewed" if one.state == "waiting" else "rejected"


def _token(language: str) -> str | None:
    """The token that models write the language under; None where it has none of its own: what was
    spoken is not known then."""
    try:
        return resolve(language).token
    except LanguageError:
        return None
