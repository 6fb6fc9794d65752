"""Ogg with a fixed serial: the same clip gives the same bytes, and players still accept them."""

import subprocess
import sys

import numpy as np
import pytest
from making import speech

from modersmal.audio import decode, encode_opus
from modersmal.corpus.ogg import with_fixed_serial
from modersmal.errors import AudioError

SCRIPT = (
    "import sys, hashlib; from making import speech; from modersmal.audio import encode_opus; "
    "from modersmal.corpus.ogg import with_fixed_serial; "
    "print(hashlib.sha256(with_fixed_serial(encode_opus(speech(1, 5.0)))).hexdigest())"
)


def test_the_same_clip_gives_the_same_bytes_in_any_process():
    hashes = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True,
            cwd=__file__.rpartition("/")[0],
        ).stdout
        for _ in range(2)
    }  # fmt: skip
    assert len(hashes) == 1


@pytest.mark.parametrize("duration_s", [0.2, 12.0])
def test_only_serial_and_checksums_change(duration_s):
    before = encode_opus(speech(1, duration_s))
    after = with_fixed_serial(before)
    assert len(after) == len(before)
    assert after[14:18] == bytes(4)
    np.testing.assert_array_equal(decode(after).samples, decode(before).samples)


def test_checksums_are_those_of_the_format():
    ogg = with_fixed_serial(encode_opus(speech(1, 1.0)))
    page = bytearray(ogg[: 28 + 19])  # the first page holds the 19 bytes of the identification
    stated = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1) ^ (0x04C11DB7 if checksum & 0x80000000 else 0)
        checksum &= 0xFFFFFFFF
    assert stated == checksum


def test_a_damaged_page_would_be_noticed():
    ogg = bytearray(with_fixed_serial(encode_opus(speech(1, 1.0))))
    before = decode(bytes(ogg)).duration_s
    ogg[-30] ^= 0xFF
    try:
        after = decode(bytes(ogg)).duration_s
    except AudioError:
        after = 0.0
    assert after < before


def test_what_is_not_ogg_is_refused():
    with pytest.raises(ValueError, match="not an Ogg page"):
        with_fixed_serial(b"RIFF")
