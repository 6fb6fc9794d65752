"""Stay off the network: what was fetched before is all there is.

The switch is the Hub's own, HF_HUB_OFFLINE, so that every library and every process started from
here obeys it, and so that a compute node whose administrator has set it needs no option.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCHES = {"huggingface_hub.constants": "HF_HUB_OFFLINE", "datasets.config": "HF_HUB_OFFLINE"}


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE is set, by `staying_offline` or from outside."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


@contextmanager
def staying_offline(offline: bool = True) -> Iterator[None]:
    """Keep this process and those that it starts from downloading; False changes nothing.

    The libraries read the variable when they are imported, so it is also set in those that are.
    """
    if not offline or is_offline():
        yield
        return
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    _tell_libraries(True)
    try:
        yield
    finally:
        os.environ.pop("HF_HUB_OFFLINE")
        if before is not None:
            os.environ["HF_HUB_OFFLINE"] = before
        _tell_libraries(False)


def _tell_libraries(offline: bool) -> None:
    for module, name in _SWITCHES.items():
        if module in sys.modules:
            setattr(sys.modules[module], name, offline)
