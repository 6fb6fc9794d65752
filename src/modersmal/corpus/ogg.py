"""Ogg streams whose bytes depend on their content alone.

Encoders number each stream at random (RFC 3533, section 6: the serial number). The same clip has
to give the same bytes, so the number is set to zero and each page's checksum made to fit.
"""

import zlib

_HEADER_BYTES = 27
_SERIAL = slice(14, 18)
_CHECKSUM = slice(22, 26)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_fixed_serial(ogg: bytes) -> bytes:
    """Rewrite every page of a stream to serial number 0; raises ValueError where it is not Ogg."""
    pages = bytearray(ogg)
    start = 0
    while start < len(pages):
        if pages[start : start + 4] != b"OggS":
            raise ValueError("not an Ogg page")
        segments = pages[start + _HEADER_BYTES - 1]
        body = start + _HEADER_BYTES + segments
        end = body + sum(pages[start + _HEADER_BYTES : body])
        page = pages[start:end]
        page[_SERIAL] = page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _checksum(page).to_bytes(4, "little")
        pages[start:end] = page
        start = end
    return bytes(pages)


def _checksum(page: bytearray) -> int:
    """CRC-32 of polynomial 0x04C11DB7 from 0, most significant bit first.

    zlib's has the same polynomial with mirrored bits and inverted ends, and runs in C.
    """
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
