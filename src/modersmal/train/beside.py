"""Dev scores beside the next steps: a process of its own decodes dev with a checkpoint's weights.

    training:  step 500 ── copy ── learn ──────────────────────── hear of it ── learn …
    writer:                     write
    scorer:                           read the checkpoint, decode dev

What is scored is a checkpoint, so a training that ends before it hears of the score loses nothing:
whoever goes on has it scored from there. Scores are taken one at a time, in the order of the steps,
so that which is best does not depend on when they come; and each is in the journal before it
counts, so that what has been chosen by it once is chosen again.
"""

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

import torch

from modersmal.config import Recipe
from modersmal.corpus import Corpus
from modersmal.corpus.pool import available_cores
from modersmal.errors import TrainingError
from modersmal.train.average import Held, Stored, put_into
from modersmal.train.checkpoint import Name
from modersmal.train.child import end_with, start_child, told
from modersmal.train.dev import DevScore
from modersmal.train.journal import Journal
from modersmal.train.loader import Workers
from modersmal.train.lora import Adapted
from modersmal.train.parts import as_it_learns, dev_set
from modersmal.whisper.load import load

DEV_SCORE = "dev_score"

_ENOUGH_CORES = 2
_MOST_PARAMETERS = 300e6  # whisper-small has 242 million; larger ones take a CPU longer than a GPU
_NICER = 5  # training goes first
_ENDING_S = 2.0


@dataclass(frozen=True)
class Aside:
    """Whether dev is scored beside the next steps, and the cores that it is decoded on then."""

    chosen: bool
    cores: int

    @classmethod
    def choose(
        cls,
        setting: bool | Literal["auto"],
        device: torch.device,
        readers: Workers,
        parameters: int,
        *,
        cores: int | None = None,
        world: int = 1,
    ) -> "Aside":
        """What the recipe asks for; "auto": where enough cores are left by training and those who
        read for it, and the model is no larger than they can decode in time.

        `world` processes train on this machine, which has so many `cores`.
        """
        mine = (cores or available_cores()) // world
        learning = torch.get_num_threads() if device.type == "cpu" else 1
        spare = mine - learning - (readers.count if readers.processes else 0)
        pays = spare >= _ENOUGH_CORES and parameters <= _MOST_PARAMETERS
        return cls(pays if setting == "auto" else setting, max(1, spare))


@dataclass(frozen=True)
class Scored:
    """The score of a checkpoint, and how many seconds it took beside the training."""

    name: Name
    score: DevScore
    seconds: float


class Beside:
    """Has checkpoints of a run scored, in a process that is started with the first of them."""

    def __init__(self, recipe: Recipe, corpus: Path, journal: Journal, aside: Aside) -> None:
        self.chosen = aside.chosen
        self._job = _Job(recipe, corpus, aside.cores)
        self._journal = journal
        self._child: tuple[SpawnProcess, Connection] | None = None
        self._asked: Name | None = None
        self._known: DevScore | None = None
        self._began_s = 0.0

    def begin(self, name: Name, folder: Path) -> None:
        """Have the whole checkpoint `name` in `folder` scored, and nothing else before it is."""
        self._asked, self._began_s = name, time.monotonic()
        self._known = self._scored_before(name)
        if self._known is None:
            if self._child is None:
                self._child = start_child(_serve, "dev")
                self._tell(self._job)
            self._tell(folder)

    @property
    def asked(self) -> Name | None:
        """The checkpoint whose score is to be heard of."""
        return self._asked

    def hear(self, step: int, wait_s: float) -> Scored | None:
        """The score that was asked for, if it comes within `wait_s`; `step` steps are done.

        It is in the journal then.

        Raises:
            TrainingError: the process was killed.
            Exception: what scoring raised.
        """
        name = self._asked
        if name is None:
            return None
        score, took_s = self._known, 0.0
        if score is None:
            score = self._answer(wait_s)
            if score is None:
                return None
            took_s = time.monotonic() - self._began_s
            self._journal.record(step, DEV_SCORE, asdict(score), str(name))
        self._asked = None
        return Scored(name, score, took_s)

    def close(self) -> None:
        """End the process; a score that was asked for is given up."""
        if self._child is not None:
            process, connection = self._child
            process.kill()
            process.join()
            connection.close()
            process.close()
            self._child = None

    def _scored_before(self, name: Name) -> DevScore | None:
        """What this very checkpoint has been scored before."""
        for made in reversed(self._journal.decisions):
            if made.kind == DEV_SCORE and made.basis == str(name):
                return DevScore(**made.value)
        return None

    def _tell(self, what: object) -> None:
        if self._child is not None:
            try:
                self._child[1].send(what)
            except OSError:
                raise self._killed() from None

    def _answer(self, wait_s: float) -> DevScore | None:
        if self._child is None:
            return None
        try:
            if not self._child[1].poll(wait_s):
                return None
            answer: DevScore | Exception = self._child[1].recv()
        except (EOFError, OSError):
            raise self._killed() from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _killed(self) -> TrainingError:
        code = None
        if self._child is not None:
            self._child[0].join(_ENDING_S)
            code = self._child[0].exitcode
        return TrainingError(
            f"the process that scores dev beside the training was killed (exit code {code}), most "
            "likely for want of memory; what was saved stays: start the same command again, with "
            "train.evaluate_beside = false if it happens again"
        )


@dataclass(frozen=True)
class _Job:
    recipe: Recipe
    corpus: Path
    cores: int


class _Scorer:
    """Scores checkpoints as the training would between two steps, on a CPU."""

    def __init__(self, job: _Job) -> None:
        corpus = Corpus.open(job.corpus)
        self._dev = dev_set(job.recipe, corpus)
        self._whisper = as_it_learns(load(job.recipe.model), job.recipe.train)
        self._lora = job.recipe.train.lora
        self._base = Held.of(self._whisper.model) if self._lora.rank else None

    def score(self, folder: Path) -> DevScore:
        stored = Stored(folder)
        own = stored if self._base is None else Adapted.of(self._base, stored, self._lora)
        put_into(self._whisper.model, own)
        return self._dev.score(self._whisper, lambda clips: None)


def _serve(connection: Connection, parent: int) -> None:
    """The other side: score what is asked for, until nobody is there to ask."""
    end_with(parent)
    os.nice(_NICER)
    scorer: _Scorer | None = None
    with suppress(EOFError, ConnectionError):
        job: _Job = connection.recv()
        os.environ["OMP_NUM_THREADS"] = str(job.cores)  # which decoding heeds
        torch.set_num_threads(job.cores)
        while True:
            folder = connection.recv()
            try:
                scorer = scorer or _Scorer(job)
                connection.send(scorer.score(folder))
            except (EOFError, ConnectionError):
                raise
            except Exception as error:
                connection.send(told(error, "in the process that scores dev"))
