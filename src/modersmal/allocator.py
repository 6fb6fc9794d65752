"""What becomes of memory that is freed: glibc decides by what it has seen, which suits no model.

Elsewhere than with glibc nothing is changed. See mallopt(3).
"""

import ctypes
import gc
import platform

# The environment of a process that is to keep what it once took, for the next time: batch after
# batch takes the same, and the system would have to clear it again each time. It has to be so from
# its start on, with one heap: each of several would keep its own, and give it back by other rules.
KEEP_ALL_FREED = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
}
_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE_BYTES = 1 << 20


def give_back_memory() -> None:
    """Let the system have what models that have gone took: they lie in cycles of references, and
    glibc keeps for itself what was freed."""
    gc.collect()
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def keep_little_freed() -> None:
    """Have this process give back at once what is large; glibc would learn to keep up to 32 MB of
    each, which for the activations of a model adds up to half a gigabyte."""
    if _is_glibc():
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
