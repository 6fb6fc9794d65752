"""What becomes of memory that is freed: glibc decides by what it has seen, which suits no model.

Elsewhere than with glibc nothing is changed. See mallopt(3).
"""

import ctypes
import gc
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8  # of malloc.h
_LARGE_BYTES = 1 << 20
_NEVER = 2**31 - 1


def give_back_memory() -> None:
    """Let the system have what models that have gone took: they lie in cycles of references, and
    glibc keeps for itself what was freed."""
    gc.collect()
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def keep_little_freed() -> None:
    """Have this process give back at once what is large; glibc would learn to keep up to 32 MB of
    each, which for the activations of a model adds up to half a gigabyte."""
    _set(_MMAP_THRESHOLD, _LARGE_BYTES)


def keep_all_freed() -> None:
    """Have this process keep what it once took, for the next time: batch after batch takes the
    same, and the system would have to clear it again each time."""
    _set(_ARENA_MAX, 1)  # each of several would keep its own
    _set(_MMAP_MAX, 0)
    _set(_TRIM_THRESHOLD, _NEVER)


def _set(parameter: int, value: int) -> None:
    if _is_glibc():
        ctypes.CDLL(None).mallopt(parameter, value)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
