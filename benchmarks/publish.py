"""Publishing to a Hub that fails: how long it takes, what is sent twice, what is left over.

    python benchmarks/publish.py [--megabytes 90]

A release of that size goes to the Hub of the tests on this machine, with the waits and time-outs
that users have, once under each fault. `sent` is what the server received of large files, against
their size; `commits` are those on main and the copies of the release in it.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from huggingface_hub import constants

from modersmal.errors import HubError
from modersmal.release.publish import publish

sys.path += [str(Path(__file__).parents[1] / "tests" / part) for part in ("", "release")]
from publishing import LARGE, write_release

from writable_hub import TOKEN, WritableHub, writable_hub

REPO = "anna/svenska"
FAULTS = [
    ("none", "", "", 0),
    ("412, another commits first, 3 times", "commit/main", "race", 3),
    ("429 with Retry-After 2 s, twice", "commit/main", "busy", 2),
    ("500, 8 requests one after the other", "", "error", 8),
    ("connection cut at 60 % of a file, twice", "PUT lfs", "cut", 2),
    ("file stored shorter than sent, twice", "PUT lfs", "short", 2),
    ("no answer for 60 s", "PUT lfs", "hang", 1),
    ("commit done, its answer lost", "commit/main", "lost", 1),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=90.0)
    size_bytes = int(parser.parse_args().megabytes * 1e6 / len(LARGE))
    os.environ["HF_TOKEN"] = TOKEN
    constants.HF_HUB_DISABLE_XET = True
    print("| fault | seconds | sent of size | commits on main | complete |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        release = write_release(Path(folder) / "releases" / "0001", size_bytes=size_bytes)
        for name, where, kind, times in FAULTS:
            with writable_hub() as hub:
                if kind:
                    hub.trouble(where, kind, times)
                print(f"| {name} | {_published(hub, release)} |", flush=True)


def _published(hub: WritableHub, release: Path) -> str:
    constants.ENDPOINT = hub.url
    constants.HUGGINGFACE_CO_URL_TEMPLATE = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    began_s = time.monotonic()
    try:
        publish(release, REPO)
    except HubError as error:
        return f"{time.monotonic() - began_s:.1f} | {error} | |"
    seconds = time.monotonic() - began_s
    large_bytes = sum((release / name).stat().st_size for name in LARGE)
    there = {name: data for name, (data, _) in hub.files(REPO, "v1").items()}
    whole = all(
        there.get(path.relative_to(release).as_posix()) == path.read_bytes()
        for path in release.rglob("*")
        if path.is_file()
    )
    commits = sum(message == "Publish release 1" for message in hub.messages)
    sent = f"{hub.received_bytes / large_bytes:.2f}"
    return f"{seconds:.1f} | {sent} | {commits} | {'yes' if whole else 'no'}"


if __name__ == "__main__":
    main()
