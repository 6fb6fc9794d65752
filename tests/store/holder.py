"""A machine that trains, as a program: `holder.py PLACE NAME TTL_S SECONDS`.

Takes the lease of PLACE, adopts what is there, and writes a checkpoint every 0.05 s until SECONDS
have passed (0: for ever). Prints a line for all that happens; exits 3 where it is held.
"""

import sys
import time

from modersmal.errors import Held
from modersmal.store.lease import Lease
from modersmal.store.remote import Remote


def main() -> int:
    url, name, ttl_s, seconds = sys.argv[1:]
    place = Remote.open(url)
    try:
        lease = Lease.take(place, name, float(ttl_s), say=lambda text: print("waits", flush=True))
        complete = {path.split("/")[1] for path in place.list("checkpoints")}
        print("took", lease.token, *lease.adopt(sorted(complete)), flush=True)
        with lease.kept():
            train(place, lease, float(seconds))
    except Held as error:
        print("held", error, flush=True)
        return 3
    lease.release()
    return 0


def train(place: Remote, lease: Lease, seconds: float) -> None:
    ends_s, step = time.monotonic() + seconds, 0
    while not seconds or time.monotonic() < ends_s:
        step += 1
        name = f"step-{step:08d}.t{lease.token:08d}"
        place.write(f"checkpoints/{name}/manifest.json", b"{}")
        print("saved", name, flush=True)
        lease.check()
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
