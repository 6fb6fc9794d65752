"""A runtime in a process of its own, so that what ends there does not end here.

whisper.cpp ends the process that it cannot go on in, and a model that does not fit can do the same
to others. Such a process is given orders: a line of JSON, and behind it the samples as they are.
Each is answered with one line. It ends where the orders end.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from modersmal.errors import ModelError
from modersmal.release.exports import Runtime as Name
from modersmal.release.runtimes import Device, Runtime, open_runtime
from modersmal.transcribe.formats import Segment

_SAMPLE_BYTES = np.dtype(np.float32).itemsize


@contextmanager
def open_apart(name: Name, place: Path, device: Device = "cpu") -> Iterator[Runtime]:
    """As `open_runtime`, in a process that is gone afterwards.

    Raises:
        ModelError: also from each of its methods, where the runtime fails or its process ends.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "modersmal.release.apart", name, str(place), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},  # what is missing is not looked for
            start_new_session=True,  # Ctrl-C is for the release
        )
        try:
            yield _Apart(name, process, said)
        finally:
            process.kill()
            process.wait()
            cast(IO[bytes], process.stdout).close()
            cast(IO[bytes], process.stdin).close()


class _Apart:
    """The side that gives orders."""

    def __init__(self, name: Name, process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
        self.name = name
        self._process, self._said = process, said
        self.arithmetic = str(self._answer())

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        return list(self._ask("transcribe", clips, language_token))

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        found = self._ask("long", [samples], language_token)
        return [Segment(one["start_s"], one["end_s"], one["text"]) for one in found]

    def _ask(self, what: str, clips: Sequence[np.ndarray], language_token: str) -> Any:
        heard = [np.ascontiguousarray(clip, np.float32) for clip in clips]
        order = {"do": what, "lengths": [len(clip) for clip in heard], "token": language_token}
        orders = cast(IO[bytes], self._process.stdin)
        try:
            orders.write((json.dumps(order) + "\n").encode())
            for clip in heard:
                orders.write(clip.tobytes())
            orders.flush()
        except BrokenPipeError:
            pass  # why it has ended shows when its answer is read
        return self._answer()

    def _answer(self) -> Any:
        line = cast(IO[bytes], self._process.stdout).readline()
        if not line.endswith(b"\n"):
            raise ModelError(f"{self.name} ended its process: {self._last_words()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise ModelError(answer["failed"])
        return answer["found"]

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{how}, {last}" if last else how


def _serve(name: Name, place: Path, device: Device) -> None:
    """The side that follows them."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what runtimes print is no answer

    def answer(kind: str, value: Any) -> None:
        answers.write(json.dumps({kind: value}) + "\n")
        answers.flush()

    try:
        runtime = open_runtime(name, place, device)
    except ModelError as error:
        answer("failed", str(error))
        return
    answer("found", runtime.arithmetic)
    for line in sys.stdin.buffer:
        order = json.loads(line)
        clips = [_samples(sys.stdin.buffer, length) for length in order["lengths"]]
        try:
            if order["do"] == "transcribe":
                answer("found", runtime.transcribe(clips, order["token"]))
            else:
                found = runtime.long(clips[0], order["token"])
                answer("found", [asdict(one) for one in found])
        except Exception as error:  # whatever a runtime raises of a model that does not fit
            reason = " ".join(str(error).split())
            answer("failed", f"{name} cannot decode: {type(error).__name__}: {reason}")


def _samples(orders: IO[bytes], length: int) -> np.ndarray:
    return np.frombuffer(bytearray(orders.read(length * _SAMPLE_BYTES)), np.float32)


if __name__ == "__main__":
    _serve(cast(Name, sys.argv[1]), Path(sys.argv[2]), cast(Device, sys.argv[3]))
