"""Corrections with their audio: what is written appears whole, and what is erased goes whole.

The order makes it so, wherever it is cut short. Audio is written before its row. To erase, the
tombstone is written beside the audio first, then the row goes and leaves another, then the audio;
`unite` ends what was begun.
"""

from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.correction import Correction
from modersmal.corpus.corrections.voices import Voices


@dataclass(frozen=True)
class Collection:
    """The rows in a book, and their audio in a folder."""

    book: Book
    voices: Voices

    def unite(self) -> None:
        """Erase what either side says was erased, and audio that belongs to nothing.

        For when nobody else writes: a server that starts, a backup that was brought back.
        """
        known, buried = self.book.tombstones(), self.voices.tombstones.buried()
        self.voices.tombstones.bury(known - buried)
        self.book.erase((known & self.book.ids()) | (buried - known))
        self.voices.keep_only(self.book.ids())

    def settle(
        self,
        recording: str,
        saved: Sequence[Correction],
        gone: Ids[str],
        audio: Mapping[str, np.ndarray],
    ) -> bool:
        """Keep `saved`, with the audio of those that are new by id, and erase `gone`.

        False, and nothing is saved, where consent for the recording does not stand any more.
        """
        for correction_id, samples in audio.items():
            self.voices.write(correction_id, samples)
        self.voices.tombstones.bury(gone)
        stands = self.book.settle(recording, saved, gone)
        self._erase_audio(gone if stands else {*gone, *audio})
        return stands

    def erase(self, ids: Ids[str]) -> None:
        """Erase these for good."""
        self.voices.tombstones.bury(ids)
        self.book.erase(ids)
        self._erase_audio(ids)

    def withdraw(self, recording: str) -> None:
        """Let no consent stand for a recording, and erase all that was corrected under it."""
        self.book.end_consents([recording])
        self.erase([one.id for one in self.book.of_recording(recording)])

    def erase_person(self, person_id: str) -> list[str]:
        """Erase a person: corrections, consents, key. Returns the ids of the corrections."""
        self.voices.tombstones.bury([one.id for one in self.book.of_person(person_id)])
        ids = self.book.erase_person(person_id)
        self.voices.tombstones.bury(ids)  # of one that was saved just now, too
        self._erase_audio(ids)
        return ids

    def _erase_audio(self, ids: Ids[str]) -> None:
        for correction_id in ids:
            self.voices.erase(correction_id)
