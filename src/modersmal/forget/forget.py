"""`modersmal forget`: what a person has corrected is erased, here and in stores, and stays so."""

from collections.abc import Sequence
from dataclasses import dataclass

from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.voices import Voices
from modersmal.database import Database
from modersmal.errors import ModersmalError
from modersmal.forget.forgetting import Forgetting, Learned


@dataclass(frozen=True)
class Forgotten:
    """What was erased.

    `corrections` are those of the person; `erased` all that were ever erased, and are looked for.
    `releases` learned from any of these, `changed` are the files and folders that something was
    taken out of. `left` says what could not be erased now, `remarks` what has to be erased by hand.
    """

    corrections: int
    erased: int
    releases: tuple[Learned, ...]
    changed: tuple[str, ...]
    left: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.left

    def __str__(self) -> str:
        lines = []
        if self.corrections:
            lines.append(f"Of this person, {_counted(self.corrections)} erased.")
        taken = f"taken out of {len(self.changed):,} files and folders" if self.changed else "gone"
        lines.append(f"In all, {_counted(self.erased)} erased in this database, and {taken}.")
        lines += [f"  {name}" for name in self.changed]
        lines += [f"It learned from what was erased: {release}." for release in self.releases]
        lines += [f"Not erased yet: {sentence}." for sentence in self.left]
        lines += [f"Note: {sentence}." for sentence in self.remarks]
        if self.left:
            lines.append("Start the same command again, without the key, to go on.")
        return "\n".join(lines)


def forget(
    database: str, stores: Sequence[str] = (), *, person_key: str | None = None
) -> Forgotten:
    """Erase a person's corrections by their key, and from `stores` all that was ever erased.

    Without a key, only the latter: for a store or a database that was brought back from a backup,
    and for a machine that was away.

    Raises:
        StoreError: the database is not there or cannot be opened, or there is no such store.
        ModersmalError: nobody has that key. All else is done then.
        Held: another process does this on this machine.
    """
    forgetting = Forgetting.of(stores)
    opened = Database.open(database, existing=True)
    try:
        book = Book(opened)
        person_id = book.person(person_key.strip()) if person_key else None
        mine = _erase_rows(book, person_id)
        opened.scrub()
        erased, remarks = book.tombstones(), _out_of_reach(book)
    finally:
        opened.close()
    cleared = forgetting.clear(erased)
    if person_key and person_id is None:
        raise ModersmalError(
            "nobody has that key: it is not whole, or all of theirs was erased already"
        )
    releases = tuple(forgetting.releases(mine if person_key else erased))
    remarks += forgetting.remarks()
    if releases:
        remarks.append(
            "copies of these releases that were published elsewhere are not known here: take them "
            "back there, if that is what the person asks for"
        )
    return Forgotten(
        corrections=len(mine),
        erased=len(erased),
        releases=releases,
        changed=tuple(cleared.changed),
        left=tuple(map(str, cleared.left)),
        remarks=tuple(remarks),
    )


def _erase_rows(book: Book, person_id: str | None) -> set[str]:
    """Erase from the database and the audio beside it; returns the ids of the person's own."""
    folder = book.voices()
    if folder is None or not folder.is_dir():
        return set(book.erase_person(person_id)) if person_id else set()
    collection = Collection(book, Voices(folder))
    mine = set(collection.erase_person(person_id)) if person_id else set()
    dead = book.tombstones() | collection.voices.tombstones.buried()
    collection.erase(dead & book.ids() | (dead - book.tombstones()))
    for correction_id in dead:  # of voices that were brought back alone
        collection.voices.erase(correction_id)
    return mine


def _out_of_reach(book: Book) -> list[str]:
    """What is said where the audio is on another machine."""
    folder = book.voices()
    if folder is None or folder.is_dir():
        return []
    return [f"the audio is not here but in {folder}: it goes when the server there is started next"]


def _counted(count: int) -> str:
    return f"{count:,} correction{' was' if count == 1 else 's were'}"
