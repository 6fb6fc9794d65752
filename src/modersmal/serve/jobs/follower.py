"""What goes along with jobs, without their knowing what it is."""

from typing import Protocol

from modersmal.serve.jobs.job import Job
from modersmal.serve.jobs.shelf import Place


class Follower(Protocol):
    """Is told of what happens to the text of jobs."""

    async def edited(self, place: Place) -> None:
        """Segments of a job have changed, and are saved."""

    async def erased(self, job: Job) -> None:
        """Somebody erases a job, which is still there. What follows from it is to go, too."""

    async def expired(self, job: Job) -> None:
        """The time of a job is over, and it is gone."""

    async def agreed(self, job: Job) -> bool:
        """Whether its person has agreed that their corrections are kept."""
