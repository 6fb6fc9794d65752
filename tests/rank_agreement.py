"""What several processes agree on, each with its own part in it; says "agreed" at the end.

torchrun --nproc-per-node 2 rank_agreement.py FOLDER
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from modersmal.errors import ModersmalError, Stopped, TrainingError
from modersmal.train.ranks import Begin, End, Ranks, Step
from modersmal.train.stopping import stop_signals


def caught(work) -> Exception | None:
    try:
        work()
    except (ModersmalError, torch.OutOfMemoryError) as error:
        return error
    return None


def only(ranks: Ranks, rank: int, error: Exception):
    """Work that fails in one process."""

    def work() -> int:
        if ranks.rank == rank:
            raise error
        return ranks.rank

    return work


def sums(ranks: Ranks) -> None:
    first, second = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(4))
    if ranks.leads:
        first.grad = torch.arange(6.0).view(2, 3).T  # not contiguous
    second.grad = torch.full((4,), float(ranks.rank + 1))
    total = torch.tensor(10.0 * (ranks.rank + 1))
    ranks.sum_gradients([first, second], total)
    assert first.grad.T.flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert second.grad.tolist() == [3] * 4
    assert total == 30


def orders(ranks: Ranks) -> None:
    said = [Begin(3, True, False, {"scale": 2.0}), Step(3, 1e-5 / 3, 60.0), End("because å", True)]
    for order in said:
        if ranks.leads:
            ranks.tell(order)
        else:
            assert ranks.told() == order
    tensor = torch.tensor([float(ranks.rank)])
    ranks.spread([tensor])
    assert tensor == 0


def failures(ranks: Ranks) -> None:
    assert ranks.together(lambda: ranks.rank) == ranks.rank
    for rank in range(2):
        full = caught(
            lambda rank=rank: ranks.together(only(ranks, rank, torch.OutOfMemoryError("full")))
        )
        assert isinstance(full, torch.OutOfMemoryError)
        assert str(full) == "full"
    stop = caught(lambda: ranks.together(only(ranks, 1, Stopped("stopped, all saved"))))
    assert isinstance(stop, Stopped)
    assert str(stop) == "stopped, all saved"
    broken = caught(lambda: ranks.together(only(ranks, 1, TrainingError("a broken clip"))))
    assert isinstance(broken, TrainingError)
    named = "a broken clip" if ranks.rank == 1 else "process 2 of 2 has failed: a broken clip"
    assert str(broken) == named


def main(folder: Path) -> None:
    with stop_signals(print) as wish, Ranks.joined(torch.device("cpu"), wish) as ranks:
        assert ranks.world == 2
        assert list(range(5))[ranks.share] == ([0, 2, 4] if ranks.leads else [1, 3])
        sums(ranks)
        orders(ranks)
        failures(ranks)
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            assert wish.asked
        ranks.together(lambda: None)
        assert wish.asked
        (folder / f"agreed-{ranks.rank}").touch()


main(Path(sys.argv[1]))
