"""Trainings in processes of their own, to be interrupted and killed.

A fork server imports torch once; every training is forked from it.
"""

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["training_process"])


def start(settings: dict[str, Any], corpus: Path, run: Path) -> BaseProcess:
    """Start a training in another process; its exit code is the command line's."""
    process = _CONTEXT.Process(target=_train, args=(settings, str(corpus), str(run)))
    process.start()
    return process


def _train(settings: dict[str, Any], corpus: str, run: str) -> None:
    import sys

    import torch

    from modersmal.config import parse_recipe
    from modersmal.errors import ModersmalError
    from modersmal.train.train import train

    torch.set_num_threads(1)
    try:
        train(parse_recipe(settings), Path(corpus), Path(run))
    except ModersmalError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if multiprocessing.current_process().name != "MainProcess":
    import modersmal.train.train  # noqa: F401
