"""Memory that is freed is given back, or kept, as was asked for."""

import os
import platform
import subprocess
import sys

import pytest

from modersmal.allocator import KEEP_ALL_FREED

FREED = """
import re, sys, torch
from pathlib import Path
from modersmal import allocator

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

if "keep little" in sys.argv:
    allocator.keep_little_freed()
large = torch.ones(5_000_000)
del large  # glibc keeps for itself what is as small as this from now on
before_mb = resident_mb()
blocks = [torch.ones(1_000_000) for _ in range(100)]
del blocks[:-1]
most_mb = resident_mb() - before_mb
del blocks
all_mb = resident_mb() - before_mb
allocator.give_back_memory()
print(most_mb, all_mb, resident_mb() - before_mb)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ("as it is", (True, None)),  # that below something that is not freed; the rest by chance
        ("keep little", (False, False)),
        ("keep all", (True, True)),
    ],
)
def test_400_mb_that_are_freed_are_kept_or_not(how: str, kept: tuple[bool, bool | None]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREED, how],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, **(KEEP_ALL_FREED if how == "keep all" else {})},
    )
    most_mb, all_mb, given_back_mb = map(float, done.stdout.split())
    assert (most_mb > 200) == kept[0]
    assert kept[1] in (None, all_mb > 200)
    assert given_back_mb < 100
