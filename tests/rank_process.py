"""One of several processes that torchrun starts; what became of it goes to a file of its own.

    torchrun … rank_process.py SETTINGS.json CORPUS RUN OUTCOMES [--at STEP --send N --to RANK]

At step STEP the first process sends signal N to process RANK.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from modersmal.config import parse_recipe
from modersmal.errors import ModersmalError
from modersmal.train.train import train


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("settings", "corpus", "run", "outcomes"):
        parser.add_argument(name, type=Path)
    for name in ("--at", "--send", "--to"):
        parser.add_argument(name, type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    # torchrun ends a process as soon as another has ended; it is to write its outcome first.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    rank = os.environ["RANK"]
    (options.outcomes / f"pid-{rank}").write_text(str(os.getpid()))
    settings = json.loads(options.settings.read_text())
    if rank in settings:
        settings = settings[rank]

    def on_step(report) -> None:
        if report.step == options.at:
            pid = int((options.outcomes / f"pid-{options.to}").read_text())
            os.kill(pid, options.send)

    outcome = {"code": 0, "error": ""}
    try:
        outcome |= train(parse_recipe(settings), options.corpus, options.run, on_step).to_json()
    except ModersmalError as error:
        outcome |= {"code": error.exit_code, "error": str(error)}
    except Exception:
        outcome |= {"code": 70, "error": traceback.format_exc()}
    (options.outcomes / f"outcome-{rank}.json").write_text(json.dumps(outcome))
    return outcome["code"]


sys.exit(main())
