"""Trainings in processes of their own, to be interrupted and killed.

A fork server imports torch once; every training is forked from it.
"""

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["modersmal.train.train"])


def start(
    settings: dict[str, Any],
    corpus: Path,
    run: Path,
    *,
    store: Path | None = None,
    fault: str | None = None,
) -> BaseProcess:
    """Start a training in another process; its exit code is the command line's.

    `store` is a folder that stands for a remote; `fault` is what MODERSMAL_FAULT says.
    """
    process = _CONTEXT.Process(
        target=_train, args=(settings, str(corpus), str(run), store and str(store), fault)
    )
    process.start()
    return process


def _train(
    settings: dict[str, Any], corpus: str, run: str, store: str | None, fault: str | None
) -> None:
    import os
    import sys

    import torch

    from modersmal.config import parse_recipe
    from modersmal.errors import ModersmalError
    from modersmal.store.remote import Remote
    from modersmal.train.train import train

    torch.set_num_threads(1)
    if fault:
        os.environ["MODERSMAL_FAULT"] = fault
    place = Remote.open(store).at("runs/x") if store else None
    try:
        train(parse_recipe(settings), Path(corpus), Path(run), place=place)
    except ModersmalError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
