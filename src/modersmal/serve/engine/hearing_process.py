"""The process that decodes what strangers send, and finds the speech in it.

Files are decoded block by block into a file of samples, which is read piece by piece, so that
memory is flat whatever they hold.
"""

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modersmal import audio
from modersmal.errors import AudioError, LongAudioError
from modersmal.serve.engine.child import Answer, Question, answer_questions
from modersmal.transcribe.speech import utterances

_PIECE_S = 120.0
_MOST_BYTES = 200 << 20  # over what the process has before it hears anything
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class _Kept:
    """Samples in a file, read a stretch at a time."""

    path: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, stretch: slice, /) -> np.ndarray:
        first, end, _ = stretch.indices(self.count)
        return np.fromfile(self.path, dtype="<f4", count=max(0, end - first), offset=4 * first)


def hear(question: Question) -> Answer:
    """Decode `upload` into `samples`. Raises AudioError for what is no audio, or over a cap."""
    try:
        return _hear(
            Path(question["upload"]),
            Path(question["samples"]),
            max_bytes=question["max_bytes"],
            max_duration_s=question["max_duration_s"],
        )
    except MemoryError:
        raise AudioError("the file asks for more memory than a recording needs") from None


def _hear(upload: Path, target: Path, *, max_bytes: int, max_duration_s: float) -> Answer:
    told_s = audio.told_s(upload, max_duration_s)
    if told_s is not None and told_s > max_duration_s:
        raise LongAudioError(
            f"the file says that it lasts longer than the cap of {max_duration_s:,g} s"
        )
    written = 0
    with target.open("wb") as file:
        for block in audio.stream(
            upload, name="the file", max_bytes=max_bytes, max_duration_s=max_duration_s
        ):
            file.write(np.ascontiguousarray(block, dtype="<f4").data)
            written += len(block)
    if not written:
        raise AudioError("the file holds no samples")
    found = utterances(_Kept(target, written), piece_s=_PIECE_S)
    parts = [[part["start"], part["end"]] for part in found]
    return {"duration_s": written / audio.SAMPLE_RATE, "parts": parts}


def _cap_memory() -> None:
    """Refuse this process more than a recording needs: a file may ask for any amount."""
    list(utterances(np.zeros(audio.SAMPLE_RATE, np.float32)))  # what finds speech stays loaded
    if _STATUS.exists():  # Linux; it alone counts so
        has = int(re.findall(r"VmData:\s+(\d+) kB", _STATUS.read_text())[0]) << 10
        resource.setrlimit(resource.RLIMIT_DATA, (has + _MOST_BYTES, has + _MOST_BYTES))


def main() -> None:
    with open(os.devnull, "wb") as nowhere:  # decoders complain at length of what they are sent
        os.dup2(nowhere.fileno(), 2)
    _cap_memory()
    answer_questions(hear)


if __name__ == "__main__":
    main()
