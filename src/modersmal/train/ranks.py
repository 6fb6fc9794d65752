"""Several processes that train one run together, as torchrun starts them:

    torchrun --nproc-per-node 2 -m modersmal train recipe.toml

The first process leads: it keeps the journal, the checkpoints and the lease, scores, and speaks.
The others follow its orders (follow.py). A batch is planned as for one process and its clips are
dealt; losses are sums over tokens, so gradients add up to those of one process. What fails in one
process fails in all of them, so that none waits for one that is gone.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from modersmal.errors import Stopped, TrainingError
from modersmal.train.stopping import Wish

Result = TypeVar("Result")

_ORDER_BYTES = 4096
_PATIENCE = timedelta(hours=12)  # while the first process scores or saves; a lost one is noticed
_BUCKET_ELEMENTS = 16 * 2**20  # summed at a time: 64 MB in float32


@dataclass(frozen=True)
class Begin:
    """Go on from `step`, with the leader's weights, its moments if it has any, and gradient
    `checkpointing` if it does so."""

    step: int
    moments: bool
    checkpointing: bool
    scaler: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Learn from the batch of `step`."""

    step: int
    learning_rate: float
    device_batch_s: float


@dataclass(frozen=True)
class End:
    """It is over: with a `result` where the run is finished, else for the reason `why`."""

    why: str = ""
    stopped: bool = False
    result: dict[str, Any] | None = None


Order = Begin | Step | End
_ORDERS = {kind.__name__: kind for kind in (Begin, Step, End)}


class _Outcome(IntEnum):
    """How a piece of work went; the worst one in any process holds for all."""

    DONE = 0
    OUT_OF_MEMORY = 1
    STOPPED = 2
    FAILED = 3


class Ranks:
    """The processes of a training, seen from number `rank` of `world`.

    With one process, nothing is sent and nothing is waited for.
    """

    def __init__(self, rank: int = 0, world: int = 1, wish: Wish | None = None) -> None:
        self.rank, self.world = rank, world
        self._wish = wish or Wish()
        self._apart = False  # it has ended in every process, and nobody listens any more

    @classmethod
    @contextmanager
    def joined(
        cls, device: torch.device, wish: Wish, env: Mapping[str, str] = os.environ
    ) -> Iterator["Ranks"]:
        """Meet the other processes that torchrun has started, if it was torchrun."""
        world = world_size(env)
        if world == 1:
            yield cls(wish=wish)
            return
        backends = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        with _connected():
            dist.init_process_group(backends, timeout=_PATIENCE)
        try:
            yield cls(int(env["RANK"]), world, wish)
        finally:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which clips of a batch are this process's."""
        return slice(self.rank, None, self.world)

    def together(self, work: Callable[[], Result]) -> Result:
        """Do work that every process does; return what this one's returned.

        A wish to stop that any of them has heard, all have heard afterwards.

        Raises:
            torch.OutOfMemoryError: in any process; the others are ready to go on.
            Exception: what this one's work raised; Stopped or TrainingError for another's.
        """
        if self.world == 1:
            return work()
        error: Exception | None = None
        try:
            result = work()
        except Exception as found:
            error = found
        self._agree(error)
        return result

    def fail(self, error: Exception) -> NoReturn:
        """In place of work that every process does: this one cannot. Raises as `together` does."""
        self._agree(error)
        raise error

    def sum_gradients(self, parameters: Iterable[nn.Parameter], total: Tensor) -> None:
        """Sum gradients, and with them the scalar `total`, over all processes, in place."""
        if self.world == 1:
            return
        gradients = [total]
        for value in parameters:
            if value.grad is None:  # it has had no clip of this batch
                value.grad = torch.zeros_like(value)
            gradients.append(value.grad)
        with _connected():
            for bucket in _buckets(gradients):
                flat = torch.cat([part.reshape(-1) for part in bucket])
                dist.all_reduce(flat)
                sums = flat.split([part.numel() for part in bucket])
                for part, summed in zip(bucket, sums, strict=True):
                    part.copy_(summed.view_as(part))

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Copy the leader's tensors into the others', in place."""
        if self.world > 1:
            with _connected():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def tell(self, order: Order) -> None:
        """The leader's word to the others."""
        if self.world > 1:
            table = {"order": type(order).__name__, **asdict(order)}
            self._broadcast(json.dumps(table), 0)

    def told(self) -> Order:
        """Wait for the leader's word."""
        table = json.loads(self._broadcast("", 0))
        return _ORDERS[table.pop("order")](**table)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Around all that the leader does after the first `together`: its end is told."""
        try:
            yield
        except Exception as error:
            if not self._apart:
                self._apart = True
                self.tell(End(_text_of(error), isinstance(error, Stopped)))
            raise

    def _agree(self, error: Exception | None) -> None:
        """Hear how it went in the others. Raises where it went wrong in any process."""
        mine = _outcome_of(error)
        found = torch.tensor([mine * self.world + self.rank, int(self._wish.asked)])
        with _connected():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        worst, asked = found.tolist()
        if asked:
            self._wish.asked = True
        outcome, rank = _Outcome(worst // self.world), worst % self.world
        if outcome is _Outcome.DONE:
            return
        text = self._broadcast(_text_of(error), rank)
        self._apart = outcome is not _Outcome.OUT_OF_MEMORY
        if error is not None and mine is outcome:
            raise error
        if outcome is _Outcome.OUT_OF_MEMORY:
            raise torch.OutOfMemoryError(text)
        if outcome is _Outcome.STOPPED:
            raise Stopped(text)
        raise TrainingError(f"process {rank + 1} of {self.world} has failed: {text}") from error

    def _broadcast(self, text: str, rank: int) -> str:
        message = torch.zeros(_ORDER_BYTES, dtype=torch.uint8)
        if rank == self.rank:
            written = torch.frombuffer(bytearray(text.encode()[:_ORDER_BYTES]), dtype=torch.uint8)
            message[: len(written)] = written
        with _connected():
            dist.broadcast(message, rank)
        return bytes(message.tolist()).rstrip(b"\0").decode(errors="ignore")


def world_size(env: Mapping[str, str] = os.environ) -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(env.get("WORLD_SIZE", "1")) if "RANK" in env else 1


def local_world_size(env: Mapping[str, str] = os.environ) -> int:
    """How many of them are on this machine; 1 without it."""
    return int(env.get("LOCAL_WORLD_SIZE", "1")) if world_size(env) > 1 else 1


def speaks(env: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that says what all of them do."""
    return world_size(env) == 1 or env["RANK"] == "0"


def own_device(device: torch.device, env: Mapping[str, str] = os.environ) -> torch.device:
    """The GPU of this process, where there are several processes."""
    if device.type == "cuda" and world_size(env) > 1:
        return torch.device("cuda", int(env["LOCAL_RANK"]))
    return device


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of tensors of one type, each of about the size that is summed at a time."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= _BUCKET_ELEMENTS or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    yield bucket


def _outcome_of(error: Exception | None) -> _Outcome:
    if error is None:
        return _Outcome.DONE
    if isinstance(error, torch.OutOfMemoryError):
        return _Outcome.OUT_OF_MEMORY
    return _Outcome.STOPPED if isinstance(error, Stopped) else _Outcome.FAILED


def _text_of(error: Exception | None) -> str:
    return "" if error is None else str(error) or type(error).__name__


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # that is what torch.distributed raises
        raise TrainingError(
            f"another process of this training has ended ({str(error).splitlines()[0]}); what was "
            "saved stays, start the same command again"
        ) from error
