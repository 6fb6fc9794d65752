"""Run `prepare` in a process of its own, and kill it there.

`interrupted.py WHEN COUNT SOURCE TO WORKERS`, where WHEN is `task` (COUNT shards handed out),
`outcome` (COUNT shards written, by one worker), `rewrite` (COUNT shards written anew at the end),
`finish` (nothing but corpus.json missing), `after` (COUNT milliseconds) or `never`, which prints
how many milliseconds it took.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from modersmal import store
from modersmal.config import DataConfig
from modersmal.corpus import finish, plan, prepare, worker

SHARD_ROWS = 5
POOLS = []


def killing(function, count):
    """`function`, which kills this process after it has run `count` times."""
    done = 0

    def counted(*arguments, **named):
        nonlocal done
        result = function(*arguments, **named)
        done += 1
        if done == count:
            die()
        return result

    return counted


def die(*_ignored, **_named):
    workers = [process for pool in POOLS for process in _processes(pool)]
    print(*(process.pid for process in workers), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _processes(pool):
    return pool._executor._processes.values() if pool._executor else []


def remember_pools():
    """So that the workers' pids can be told before the end."""
    real = prepare.WorkerPool.__init__

    def init(self, workers):
        real(self, workers)
        POOLS.append(self)

    prepare.WorkerPool.__init__ = init


def arrange_death(when, count):
    if when == "task":
        real = prepare._tasks

        def tasks(*arguments):
            for number, task in enumerate(real(*arguments)):
                if number == count:
                    die()
                yield task

        prepare._tasks = tasks
    elif when == "outcome":
        worker.store.write_json = killing(store.write_json, count + 1)  # the plan is the first
    elif when == "rewrite":
        finish._rewrite = killing(finish._rewrite, count)
    elif when == "finish":
        finish.write_corpus_file = die
    elif when == "after":
        threading.Timer(count / 1000, die).start()


def main():
    when, count, source, to, workers = sys.argv[1:]
    plan.SHARD_ROWS = SHARD_ROWS
    remember_pools()
    arrange_death(when, int(count))
    began_s = time.monotonic()
    prepare.prepare([source], Path(to), data=DataConfig(workers=int(workers)))
    print(round(1000 * (time.monotonic() - began_s)))


if __name__ == "__main__":
    main()
