"""The process that writes checkpoints while training goes on: `python -m modersmal.train.writer`.

It shares one buffer with the training (snapshot.py), takes orders as JSON lines on its standard
input, does them one after the other and answers each with a JSON line on its standard output:

    {"reserve": 2900000000}                                   → {"done": "reserve"}
    {"write": {"name": "step-00000500.t00000001", …}}         → {"done": "write", "seconds": 6.1}
    {"remove": ["step-00000250.t00000001"]}                   → {"done": "remove"}
                                  where the disk will not     → {"failed": "the disk is full: …"}

A checkpoint is written under a draft's name, hashed on the way, forced to the disk, listed in its
manifest and then renamed. torch is not imported here. When the training ends, however it does,
standard input closes and this process ends at once: what it leaves is a draft, which the next
start sweeps away.
"""

import hashlib
import json
import mmap
import os
import queue
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.errors import StoreError
from modersmal.store.faults import fault

DRAFT = ".draft-"
STATE = "state.json"
_CHUNK_BYTES = 16 * 2**20
_NICER = 5  # training goes first


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file to be: its JSON header, and where in the buffer its body lies."""

    name: str
    header: str
    offset: int
    bytes: int


def write_checkpoint(
    checkpoints: Path, name: str, files: list[TensorFile], state: dict[str, Any], buffer: memoryview
) -> None:
    """Write the folder `name`, whole or not at all.

    Raises:
        StoreError: the disk is full or cannot be written; earlier checkpoints are intact.
    """
    target, draft = checkpoints / name, _draft(checkpoints, name)
    try:
        with store.writing(target):
            fault("checkpoint.begin")
            draft.mkdir(parents=True)
            hashes = {}
            for file in files:
                body = buffer[file.offset : file.offset + file.bytes]
                hashes[file.name] = _stream(draft / file.name, file.header, body)
                fault(f"checkpoint.after-{file.name}")
            store.write_json(draft / STATE, state)
            fault(f"checkpoint.after-{STATE}")
            store.write_manifest(draft, hashes)
            fault("checkpoint.after-manifest")
            if target.exists():  # it was damaged: the training went back and came here again
                os.replace(target, _draft(checkpoints, name))
            os.replace(draft, target)
            fault("checkpoint.after-rename")
            store.sync_folder(checkpoints)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    remove_drafts(checkpoints)


def remove(checkpoints: Path, names: list[str]) -> None:
    """Remove checkpoints: each is a draft first, so that none is ever half there."""
    for name in names:
        if (checkpoints / name).exists():
            with store.writing(checkpoints / name):
                os.replace(checkpoints / name, _draft(checkpoints, name))
            fault("checkpoint.within-removal")
    remove_drafts(checkpoints)


def remove_drafts(checkpoints: Path) -> None:
    """Remove what killed writers left; call it where nobody else writes."""
    for draft in checkpoints.glob(f"{DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def _draft(checkpoints: Path, name: str) -> Path:
    return checkpoints / f"{DRAFT}{name}-{uuid.uuid4().hex}"


def _stream(path: Path, header: str, body: memoryview) -> str:
    """Write a safetensors file through to the disk; returns its SHA-256."""
    digest = hashlib.sha256()
    encoded = header.encode()
    pieces: list[bytes | memoryview] = [
        len(encoded).to_bytes(8, "little") + encoded,
        *_chunks(body),
    ]
    with path.open("wb") as file:
        for place, piece in enumerate(pieces):
            digest.update(piece)
            file.write(piece)
            if place == len(pieces) // 2:
                file.flush()
                fault(f"checkpoint.within-{path.name}")
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _chunks(body: memoryview) -> Iterator[memoryview]:
    return (body[start : start + _CHUNK_BYTES] for start in range(0, len(body), _CHUNK_BYTES))


class _Buffer:
    """The memory that is shared with the training, by its file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapped: mmap.mmap | None = None

    def reserve(self, size: int) -> None:
        """Take the pages now, here: the first snapshot would wait seconds for them."""
        if hasattr(os, "posix_fallocate"):
            with store.writing("the memory that checkpoints are copied to"):
                os.posix_fallocate(self._descriptor, 0, size)

    def view(self) -> memoryview:
        size = os.fstat(self._descriptor).st_size
        if self._mapped is None or len(self._mapped) != size:
            self._mapped = mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ)
        return memoryview(self._mapped)


def _obey(order: dict[str, Any], checkpoints: Path, buffer: _Buffer) -> dict[str, Any]:
    ((kind, value),) = order.items()
    began_s = time.monotonic()
    try:
        if kind == "reserve":
            buffer.reserve(value)
        elif kind == "write":
            files = [TensorFile(**file) for file in value["files"]]
            write_checkpoint(checkpoints, value["name"], files, value["state"], buffer.view())
        else:
            remove(checkpoints, value)
    except StoreError as error:
        return {"failed": str(error)}
    return {"done": kind, "seconds": time.monotonic() - began_s}


def _read_orders(orders: queue.SimpleQueue) -> None:
    """Pass orders on as they come, and end this process with the training's."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(0)


def main(checkpoints: str, descriptor: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whether to stop is the training's to say
    os.nice(_NICER)
    orders: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    buffer = _Buffer(int(descriptor))
    while True:
        answer = _obey(orders.get(), Path(checkpoints), buffer)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
