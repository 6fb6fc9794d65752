"""A process that answers questions and can be killed at any time.

Questions and answers are JSON, one a line. The process ends when whoever started it has ended, for
then its standard input does.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from modersmal.errors import (
    AudioError,
    LongAudioError,
    ModelError,
    ModersmalError,
    Unavailable,
)

_LINE_BYTES = 64 << 20
_ERRORS: dict[str, type[ModersmalError]] = {
    one.__name__: one for one in (LongAudioError, AudioError, ModelError, ModersmalError)
}

Question = dict[str, Any]
Answer = dict[str, Any]


class ChildEnded(Unavailable):
    """The process ended before it answered; `killed` says that somebody else ended it."""

    def __init__(self, killed: bool) -> None:
        super().__init__("the process that was at work ended")
        self.killed = killed


class Child:
    """The side that asks. One question is asked at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._killed = False

    @classmethod
    async def start(cls, module: str, environment: Mapping[str, str] | None = None) -> "Child":
        """Start `python -m MODULE`, whose `main` is `answer_questions`, with more `environment`
        than this process has; what is set here already stays as it is."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for who asks
            env={**(environment or {}), **os.environ},
        )  # fmt: skip
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._killed and self._process.returncode is None

    async def ask(self, question: Question, *, within_s: float | None = None) -> Answer:
        """Ask, and wait for the answer.

        Whoever is cancelled while it waits, or finds that `within_s` has passed (TimeoutError), has
        killed the process: it would answer to the next question otherwise.

        Raises:
            ChildEnded: the process is gone.
            ModersmalError: what it raised, as the class that it was.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(within_s):
                    line = await self._exchange(question)
            except BaseException:
                self.kill()
                raise
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise _ERRORS.get(answer["error"], ModersmalError)(answer["sentence"])
        return answer

    def kill(self) -> None:
        """End it now; it may have ended already."""
        self._killed = True
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    async def retire(self) -> None:
        """End it when it has answered what it was asked."""
        async with self._turn:
            self.kill()
        await self._process.wait()

    async def close(self) -> None:
        """Kill it, and wait until it is gone."""
        self.kill()
        await self._process.wait()

    async def _exchange(self, question: Question) -> bytes:
        there, back = self._process.stdin, self._process.stdout
        if there is None or back is None:
            raise ChildEnded(killed=False)
        try:
            there.write(json.dumps(question).encode() + b"\n")
            await there.drain()
            line = await back.readline()
        except OSError as error:
            raise await self._ended() from error
        if not line.endswith(b"\n"):
            raise await self._ended()
        return line

    async def _ended(self) -> ChildEnded:
        """How it ended. Its pipes are closed by that alone."""
        return ChildEnded(killed=await self._process.wait() == -signal.SIGKILL)


def answer_questions(answer: Callable[[Question], Answer]) -> None:
    """The side that answers, until nobody asks any more.

    What libraries print goes to standard error: answers alone go back. Errors of ours are told;
    any other ends the process, and with it the one question.
    """
    back = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    questions: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(questions,), daemon=True).start()
    while True:
        question = json.loads(questions.get())
        try:
            told = answer(question)
        except ModersmalError as error:
            name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS)
            told = {"error": name, "sentence": str(error)}
        back.write(json.dumps(told).encode() + b"\n")


def _read(questions: "SimpleQueue[bytes]") -> None:
    """Pass questions on; end the process, whatever it is at, when there are no more to come."""
    for line in sys.stdin.buffer:
        questions.put(line)
    os._exit(0)
