"""How often one caller may ask."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_MOST_CALLERS = 10_000


@dataclass
class _Left:
    requests: float
    at_s: float


class Pace:
    """So many requests a minute from each, all of them at once if need be.

    The longest silent are forgotten first, so that memory stays bounded.
    """

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._most, self._now = float(per_minute), now
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def wait_s(self, who: str) -> int:
        """Count a request; seconds that it comes too early, or 0."""
        now_s = self._now()
        left = self._left.pop(who, None) or _Left(self._most, now_s)
        gained = (now_s - left.at_s) * self._most / 60
        left.requests, left.at_s = min(self._most, left.requests + max(0.0, gained)), now_s
        self._left[who] = left
        if len(self._left) > _MOST_CALLERS:
            self._left.popitem(last=False)
        if left.requests < 1:
            return max(1, math.ceil((1 - left.requests) * 60 / self._most))
        left.requests -= 1
        return 0


def neighbourhood(address: str) -> str:
    """An address, or of IPv6 the network that one connection is given whole."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    return f"{int(known) >> 64:x}::" if isinstance(known, IPv6Address) else address
