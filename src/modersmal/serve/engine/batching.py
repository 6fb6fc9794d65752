"""Which parts of which recordings are heard next, together: alike ones, by turns."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModersmalError
from modersmal.serve.engine.options import Task, Wish
from modersmal.serve.engine.results import Heard, Piece
from modersmal.serve.engine.writer import About, Group


@dataclass(eq=False)
class Ticket:
    """One recording that waits for its text. Who is `patient` waits as long as it takes."""

    heard: Heard
    wish: Wish
    next_part: int
    patient: bool
    language: str | None = None
    tries: int = 0
    told: "asyncio.Queue[Piece | ModersmalError | None]" = field(default_factory=asyncio.Queue)
    _groups: list[Group] = field(default_factory=list)
    _about: About | None = None

    def groups(self, about: About) -> list[Group]:
        """What is still to be heard, as this model is given it."""
        if self._about is not about:
            self._about, self._groups = about, about.grouped(self.heard, self.next_part)
        while self._groups and self._groups[0].part < self.next_part:
            del self._groups[0]
        return self._groups

    @property
    def waiting_s(self) -> float:
        parts = self.heard.parts[self.next_part :]
        return sum(part.end - part.start for part in parts) / SAMPLE_RATE

    def task(self, about: About, group: Group) -> Task:
        """How one of its groups is written. Raises RecipeError: the model lacks the language."""
        token = about.token_of(self.wish.language or self.language)
        return about.task(group, self.wish, token)

    def take(self, piece: Piece) -> None:
        self.next_part, self.tries = piece.next_part, 0
        self.language = self.language or piece.language
        self.told.put_nowait(piece)
        if self.next_part >= len(self.heard.parts):
            self.told.put_nowait(None)


@dataclass(frozen=True)
class Batch:
    """Parts that are heard together."""

    task: Task
    parts: list[tuple[Ticket, Group]]

    @property
    def length_s(self) -> float:
        return sum(group.length_s for _, group in self.parts)


class Queue:
    """Recordings that wait, each of which comes first in its turn."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()

    def __bool__(self) -> bool:
        return bool(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(list(self._tickets))

    def add(self, ticket: Ticket) -> None:
        self._tickets.append(ticket)

    def remove(self, ticket: Ticket) -> None:
        if ticket in self._tickets:
            self._tickets.remove(ticket)

    def waiting_s(self, *, patient: bool) -> float:
        """Seconds of speech of those who are patient, or of those who are not."""
        return sum(one.waiting_s for one in self._tickets if one.patient == patient)

    def take(self, about: About, clips_of: Callable[[int], int]) -> Batch | None:
        """The next part of whose turn it is, and like ones of all, as many as `clips_of` says are
        fast together in a context of so many frames.

        Each recording's parts are taken in their order, one of each in turn. One whose language is
        yet to be heard gives one part alone; so does one that has ended a process before.

        Raises:
            CannotError: who is first cannot be served by this model, and why.
        """
        if not self._tickets:
            return None
        first = self._tickets[0]
        self._tickets.rotate(-1)
        try:
            groups = first.groups(about)
            task = first.task(about, groups[0])
        except ModersmalError as error:
            raise CannotError(first, error) from error
        parts = [(first, groups[0])]
        if first.tries or task.language is None:
            return Batch(task, parts)
        taken = {first: 1}
        most = clips_of(task.frames)
        while len(parts) < most:
            before = len(parts)
            for ticket in self._tickets:
                place = taken.get(ticket, 0)
                group = self._alike(ticket, about, place, task)
                if group is not None and len(parts) < most:
                    parts.append((ticket, group))
                    taken[ticket] = place + 1
            if len(parts) == before:
                break
        return Batch(task, parts)

    def _alike(self, ticket: Ticket, about: About, place: int, task: Task) -> Group | None:
        """The part of a recording after `place` others, where it may be heard with these."""
        if ticket.tries:
            return None
        groups = ticket.groups(about)
        if place >= len(groups):
            return None
        try:
            same = ticket.task(about, groups[place]) == task
        except ModersmalError:  # told when its own turn comes
            return None
        return groups[place] if same else None


class CannotError(Exception):
    """A recording that the model cannot serve."""

    def __init__(self, ticket: Ticket, reason: ModersmalError) -> None:
        super().__init__(str(reason))
        self.ticket, self.reason = ticket, reason
