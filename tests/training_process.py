"""Trainings in processes of their own, to be interrupted and killed.

A fork server imports torch once; every training is forked from it.
"""

import multiprocessing
import os
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
    store: Path | str | None = None,
    fault: str | None = None,
    log: Path | None = None,
) -> BaseProcess:
    """Start a training in another process; its exit code is the command line's.

    `store` is a folder or URL that stands for a remote; `fault` is what MODERSMAL_FAULT says;
    `log` takes what it says.
    """
    env = os.environ | ({"MODERSMAL_FAULT": fault} if fault else {})
    process = _CONTEXT.Process(
        target=_train, args=(settings, corpus, run, store and str(store), env, log)
    )
    process.start()
    return process


def _train(
    settings: dict[str, Any],
    corpus: Path,
    run: Path,
    store: str | None,
    env: dict[str, str],
    log: Path | None,
) -> None:
    import sys

    import torch

    from modersmal.config import parse_recipe
    from modersmal.errors import ModersmalError
    from modersmal.store.remote import Remote
    from modersmal.train.train import train

    torch.set_num_threads(1)
    os.environ.update(env)
    if log:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    place = Remote.open(store).at("runs/x") if store else None
    try:
        train(parse_recipe(settings), corpus, run, place=place)
    except ModersmalError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
