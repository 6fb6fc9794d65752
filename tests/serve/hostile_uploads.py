"""Files that mean harm, made here, and bait that tells whether one of them had its way."""

import bz2
import ctypes
import gzip
import io
import os
import pickle
import random
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from encoded_audio import CONTENT, SPEECH, silent_opus, written

LONG_S = 5 * 3600
_OPENED_OR_READ = 0x20 | 0x01  # inotify's IN_OPEN and IN_ACCESS
_NO_SPEECH_NAME = "recording.wav"
_REFUSED, _EITHER, _TOO_LONG, _FINE = (400,), (200, 400, 413), (413,), (200,)
_WHOLE = ("wav", "wav-24", "rf64", "flac", "mp3", "vorbis", "opus", "aiff", "m4a", "mov-alac",
          "webm-opus", "mkv-aac", "aac")  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """A file, what its sender calls it, and the statuses that are right for it."""

    name: str
    data: bytes
    statuses: tuple[int, ...]
    filename: str = _NO_SPEECH_NAME


class Bait:
    """A recording of somebody else's, and an address; it notices who opens the one or calls the
    other."""

    def __init__(self, folder: Path, speech: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "secret.wav"
        self.file.write_bytes(speech)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watch = self._libc.inotify_init1(os.O_NONBLOCK)
        if self._libc.inotify_add_watch(self._watch, os.fsencode(folder), _OPENED_OR_READ) < 0:
            raise OSError(ctypes.get_errno(), "the bait cannot be watched")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def opened(self) -> bool:
        """Whether the recording was opened since this was asked last."""
        try:
            return bool(os.read(self._watch, 1 << 16))
        except BlockingIOError:
            return False

    def called(self) -> bool:
        """Whether the address was called since this was asked last."""
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._watch)
        self._listener.close()


def hostile_files(bait: Bait, *, hours: bool = True) -> Iterator[Hostile]:
    """All of them; without `hours`, not those whose decoding takes seconds before it is ended."""
    yield from _texts(bait)
    yield from _other_kinds(bait)
    yield from _damaged()
    yield from _lying_wavs()
    yield from _lying_others(bait)
    yield from _polyglots(bait)
    yield from _names()
    yield Hostile("hours of silence in Opus", silent_opus(LONG_S), _TOO_LONG)
    if hours:
        yield Hostile(
            "hours that WebM does not tell", _live(silent_opus(LONG_S, "webm")), _TOO_LONG
        )
        yield Hostile("hours that FLAC does not tell", _untold_flac(), _TOO_LONG)


def _texts(bait: Bait) -> Iterator[Hostile]:
    """What a general decoder would follow to other files and hosts."""
    path, url = bait.file, f"{bait.address}/a.wav"
    texts = {
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {bait.address.rsplit(':')[-1]} RTP/AVP 0\n",
        "ffconcat": f"ffconcat version 1.0\nfile {path}\n",
        "ffconcat by option": f"ffconcat version 1.0\nfile '{path}'\noption safe 0\n",
        "ffconcat of neighbours": "ffconcat version 1.0\nfile ../../../secret.wav\nfile upload\n",
        "concat": f"concat:{path}|{path}",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n#EXT-X-ENDLIST\n",
        "hls of a host": f"#EXTM3U\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
        "hls with a key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="file://{path}"\n#EXTINF:9,\n'
        f"{url}\n",
        "m3u": f"{path}\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
        f"<AdaptationSet><Representation><BaseURL>file://{path}</BaseURL></Representation>"
        "</AdaptationSet></Period></MPD>",
        "pls": f"[playlist]\nFile1={url}\nNumberOfEntries=1\n",
        "xspf": f"<playlist><trackList><track><location>file://{path}</location></track>"
        "</trackList></playlist>",
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "cue": f'FILE "{path}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
        "url": url,
        "path": str(path),
        "shortcut": f"[InternetShortcut]\nURL={url}\n",
        "rtsp": f"RTSPtextrtsp://{bait.address[7:]}/x",
        "avisynth": f'DirectShowSource("{path}")',
        "ffmetadata": ";FFMETADATA1\ntitle=x\n[CHAPTER]\nSTART=0\nEND=1\n",
        "xml entity": f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file://{path}">]><a>&b;'
        "</a>",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{path}"/></svg>',
        "html": f'<html><audio src="{url}" autoplay></audio></html>',
        "shell": f"#!/bin/sh\ncat {path}\n",
        "byte order mark": f"\ufeffffconcat version 1.0\nfile {path}\n",
        "subtitles": "1\n00:00:00,000 --> 00:00:09,000\nHej\n",
        "json": '{"file": "' + str(path) + '"}',
    }
    for name, text in texts.items():
        yield Hostile(f"text: {name}", text.encode(), _REFUSED)


def _other_kinds(bait: Bait) -> Iterator[Hostile]:
    """What is no audio, or none that we open."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(64 << 20))
    kinds = {
        "nothing": b"",
        "one byte": b"R",
        "zeros": bytes(1 << 16),
        "ones": b"\xff" * (1 << 16),
        "noise": random.Random(0).randbytes(1 << 16),
        "a zip bomb": packed.getvalue(),
        "a gzip bomb": gzip.compress(bytes(64 << 20)),
        "a bzip2 bomb": bz2.compress(bytes(64 << 20)),
        "a pickle": pickle.dumps(_Opens(bait.file)),
        "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1 << 31, 1 << 31,
                                                 8, 6, 0, 0, 0),
        "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(64),
        "gif": b"GIF89a\xff\xff\xff\xff\xf7" + bytes(64),
        "webp": b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(64),
        "tiff": b"II*\0" + b"\xff" * 64,
        "avif": struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"avif", 0, b"avif", b"mif1") + bytes(64),
        "avi": b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(64),
        "midi": b"MThd\0\0\0\x06\0\x01\xff\xff\0\x60" + bytes(64),
        "au": b".snd" + struct.pack(">5I", 24, 0xFFFFFFFF, 3, 0xFFFFFFFF, 0xFFFF) + bytes(64),
        "caf": b"caff\0\x01\0\0desc" + b"\xff" * 64,
        "wave64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb" + bytes(64),
        "amr": b"#!AMR\n" + bytes(64),
        "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 64,
        "flv": b"FLV\x01\x05\0\0\0\x09" + b"\xff" * 64,
        "transport stream": (b"\x47\x40\0\x10" + bytes(184)) * 64,
        "program stream": b"\0\0\x01\xba" + b"\xff" * 64,
        "elf": b"\x7fELF\x02\x01\x01" + bytes(64),
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(64),
        "docx": _zip_of({"word/document.xml": b"<w:document/>"}),
        "video without sound": _video("mp4"),
        "video without sound in Matroska": _video("matroska"),
    }  # fmt: skip
    for name, data in kinds.items():
        yield Hostile(name, data, _REFUSED)


def _damaged() -> Iterator[Hostile]:
    """Every container, ended early, without its beginning, and with bytes changed."""
    for kind in _WHOLE:
        whole = CONTENT[kind]()
        chance = random.Random(kind)
        yield Hostile(f"{kind} ended in its header", whole[:40], _EITHER)
        yield Hostile(f"{kind} ended halfway", whole[: len(whole) // 2], _EITHER)
        yield Hostile(f"{kind} without its middle", whole[:256] + whole[-256:], _EITHER)
        for number in range(2):
            header = bytearray(whole)
            for place in chance.choices(range(4, min(200, len(whole))), k=8):
                header[place] = chance.randrange(256)
            yield Hostile(f"{kind} with a damaged header {number}", bytes(header), _EITHER)
        body = bytearray(whole)
        for place in chance.choices(range(64, len(whole)), k=len(whole) // 50):
            body[place] = chance.randrange(256)
        yield Hostile(f"{kind} with a damaged body", bytes(body), _EITHER)


def _lying_wavs() -> Iterator[Hostile]:
    def wav(
        code: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16,
        data: bytes = bytes(32_000), align: int | None = None, fmt_bytes: int = 16,
        data_bytes: int | None = None,
    ) -> bytes:  # fmt: skip
        align = (channels * bits // 8) & 0xFFFF if align is None else align
        head = struct.pack("<HHIIHH", code, channels, rate_hz, (rate_hz * align) & 0xFFFFFFFF,
                           align, bits)  # fmt: skip
        size = len(data) if data_bytes is None else data_bytes
        return (
            b"RIFF\xff\xff\xff\xffWAVEfmt "
            + struct.pack("<I", fmt_bytes) + head + b"data" + struct.pack("<I", size) + data
        )  # fmt: skip

    lies: dict[str, tuple[bytes, tuple[int, ...]]] = {
        "65,535 channels": (wav(channels=65_535), _REFUSED),
        "1,000 channels": (wav(channels=1000, data=bytes(8 << 20)), _EITHER),
        "no channels": (wav(channels=0), _REFUSED),
        "two thousand million samples a second": (wav(rate_hz=2**31 - 1), _REFUSED),
        "four thousand million samples a second": (wav(rate_hz=2**32 - 1), _REFUSED),
        "no samples a second": (wav(rate_hz=0), _REFUSED),
        "one sample a second": (wav(rate_hz=1, data=bytes(1 << 20)), _EITHER),
        "no bits": (wav(bits=0), _EITHER),
        "255 bits": (wav(bits=255), _REFUSED),
        "more data than there is": (wav(data_bytes=2**32 - 1), _FINE),
        "no data": (wav(data=b""), _REFUSED),
        "a header of 4 GiB": (wav(fmt_bytes=2**32 - 1), _REFUSED),
        "compressed blocks of nothing": (wav(code=2, bits=4, align=0), _EITHER),
        "compressed blocks of 65,535": (wav(code=17, bits=4, align=65_535), _EITHER),
        "GSM": (wav(code=49, bits=0, align=65), _EITHER),
        "MP3 inside": (wav(code=85, bits=0, data=CONTENT["mp3"]()), _EITHER),
        "an unknown code": (wav(code=0xBEEF), _REFUSED),
        "samples that are no numbers": (
            wav(3, bits=32, data=np.full(16_000, np.nan, "<f4").tobytes()), _REFUSED),
        "endless samples": (
            wav(3, bits=32, data=np.full(16_000, np.inf, "<f4").tobytes()), _REFUSED),
        "enormous samples": (
            wav(3, bits=32, data=np.full(16_000, 1e38, "<f4").tobytes()), _EITHER),
        "hours of next to nothing": (
            wav(code=1, bits=8, rate_hz=4_000, data_bytes=2**31 - 1, data=bytes(8000)), _EITHER),
        "a thousand chunks": (
            b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 1000 + wav()[12:], _EITHER),
        "a chunk that is larger than the file": (
            b"RIFF\xff\xff\xff\xffWAVEjunk\xff\xff\xff\x7f" + wav()[12:], _EITHER),
    }  # fmt: skip
    for name, (data, statuses) in lies.items():
        yield Hostile(f"wav: {name}", data, statuses)


def _lying_others(bait: Bait) -> Iterator[Hostile]:
    flac, mp4, webm = (bytearray(CONTENT[kind]()) for kind in ("flac", "m4a", "webm-opus"))
    ogg, aac, mp3, aiff = (CONTENT[kind]() for kind in ("opus", "aac", "mp3", "aiff"))

    def changed(data: bytes | bytearray, at: bytes, offset: int, by: bytes) -> bytes:
        copy = bytearray(data)
        place = copy.index(at) + offset
        copy[place : place + len(by)] = by
        return bytes(copy)

    days = bytearray(flac)
    days[21] |= 0x0F
    days[22:26] = b"\xff\xff\xff\xff"
    picture = b"\x06\xff\xff\xff" + b"\0" * 64
    duration = changed(mp4, b"mvhd", 16, struct.pack(">II", 1, 2**31 - 1))
    last_page = bytes(ogg).rindex(b"OggS")
    box = struct.pack(">I4s", 8, b"moov")
    yield Hostile("flac: days", bytes(days), _TOO_LONG)
    yield Hostile("flac: no samples a second", bytes(flac[:18] + b"\0\0" + flac[20:]), _EITHER)
    yield Hostile("flac: a picture of 16 MiB", bytes(flac[:4]) + picture + bytes(flac[4:]), _EITHER)
    yield Hostile("flac: a header alone", bytes(flac[:42]), _REFUSED)
    yield Hostile("mp4: decades", duration, _EITHER)
    yield Hostile("mp4: a box of 4 GiB", changed(mp4, b"moov", -4, b"\xff\xff\xff\xff"), _EITHER)
    yield Hostile("mp4: a box of nothing", changed(mp4, b"moov", -4, bytes(4)), _EITHER)
    yield Hostile("mp4: four thousand million samples", changed(mp4, b"stsz", 8,
                  b"\0\0\0\0\xff\xff\xff\xff"), _EITHER)  # fmt: skip
    yield Hostile("mp4: samples at four thousand million places", changed(mp4, b"stco", 8,
                  b"\xff\xff\xff\xff"), _EITHER)  # fmt: skip
    yield Hostile("mp4: samples elsewhere", changed(mp4, b"stco", 8, b"\0\0\0\1\x7f\xff\xff\xff"),
                  _EITHER)  # fmt: skip
    yield Hostile("mp4: data in another file", _refers_to(bytes(mp4), bait.file), _EITHER)
    yield Hostile("mp4: boxes in boxes", struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
                  + b"".join(struct.pack(">I4s", 8 * (5000 - n), b"moov") for n in range(5000)),
                  _REFUSED)  # fmt: skip
    yield Hostile("mp4: empty boxes", bytes(mp4[:24]) + box * 50_000, _EITHER)
    yield Hostile("webm: a header alone", bytes(webm[:40]), _REFUSED)
    yield Hostile("webm: another kind", changed(webm, b"webm", 0, b"evil"), _EITHER)
    yield Hostile("webm: a void of years", bytes(webm[:40]) + b"\xec\x01" + b"\xff" * 7, _EITHER)
    yield Hostile("webm: elements in elements", bytes(webm[:40]) + b"\x18\x53\x80\x67\xff" * 5000,
                  _REFUSED)  # fmt: skip
    yield Hostile("ogg: centuries", ogg[:last_page] + changed(ogg[last_page:], b"OggS", 6,
                  struct.pack("<q", 2**62)), _EITHER)  # fmt: skip
    yield Hostile("ogg: before time", ogg[:last_page] + changed(ogg[last_page:], b"OggS", 6,
                  struct.pack("<q", -(2**62))), _EITHER)  # fmt: skip
    yield Hostile("ogg: 255 channels", changed(ogg, b"OpusHead", 9, b"\xff"), _EITHER)
    yield Hostile("ogg: a comment of 4 GiB", changed(ogg, b"OpusTags", 8, b"\xff\xff\xff\xff"),
                  _EITHER)  # fmt: skip
    yield Hostile("ogg: chained with another", ogg + CONTENT["vorbis"](), _EITHER)
    yield Hostile("ogg: headers alone", ogg[:200], _EITHER)
    yield Hostile("ogg: pages of nothing", b"OggS\0\2" + bytes(20) + b"\xff" * 256, _REFUSED)
    yield Hostile("aac: frames of nothing", bytes([0xFF, 0xF1, 0x50, 0x80, 0, 0x1F, 0xFC]) * 999,
                  _REFUSED)  # fmt: skip
    yield Hostile("aac: an unknown rate", bytes([aac[0], aac[1], aac[2] | 0x3C]) + aac[3:], _EITHER)
    yield Hostile("mp3: a tag of 256 MiB", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + mp3, _EITHER)
    yield Hostile("mp3: a tag alone", b"ID3\4\0\0\0\0\1\0" + bytes(128), _REFUSED)
    yield Hostile("mp3: a frame alone", mp3[-400:][:4] + bytes(60), _EITHER)
    yield Hostile("aiff: samples a second without end", changed(aiff, b"COMM", 16,
                  b"\x7f\xff" + bytes(8)), _REFUSED)  # fmt: skip
    yield Hostile("aiff: 32,767 channels", changed(aiff, b"COMM", 8, b"\x7f\xff"), _EITHER)
    yield Hostile("aiff: four thousand million frames", changed(aiff, b"COMM", 10, b"\xff" * 4),
                  _EITHER)  # fmt: skip


def _polyglots(bait: Bait) -> Iterator[Hostile]:
    wav = CONTENT["wav"]()
    script = f"ffconcat version 1.0\nfile {bait.file}\n".encode()
    page = b"<html><script>alert(1)</script></html>"
    tag = b"TIT2" + struct.pack(">I", len(page) + 1) + b"\0\0\3" + page
    yield Hostile("wav and zip", wav + _zip_of({"a.txt": b"x"}), _FINE)
    yield Hostile("zip and wav", _zip_of({"a.txt": b"x"}) + wav, _REFUSED)
    yield Hostile("wav and script", wav + script, _FINE)
    yield Hostile("script and wav", script + wav, _REFUSED)
    yield Hostile("a header and a script", b"RIFF\xff\xff\xff\xffWAVE" + script, _REFUSED)
    yield Hostile("an Ogg mark and a script", b"OggS" + script, _REFUSED)
    yield Hostile("gif and script", b"GIF89a/*" + bytes(32) + b"*/=1;" + script, _REFUSED)
    yield Hostile("mp3 and page", b"ID3\3\0\0\0\0\0" + bytes([len(tag)]) + tag + CONTENT["mp3"](),
                  _FINE)  # fmt: skip
    yield Hostile("matroska and playlist", b"\x1a\x45\xdf\xa3#EXTM3U\n" + script, _REFUSED)


def _names() -> Iterator[Hostile]:
    """Names that lead elsewhere, of a recording that is fine."""
    speech = written(SPEECH[: len(SPEECH) // 4], 24_000, format="WAV")
    for name in (
        "../../../../etc/passwd", "/etc/passwd", "..\\..\\windows\\win.ini", "C:\\a.wav",
        "file:///etc/passwd", "http://127.0.0.1/a.wav", "|id", "$(touch a).wav", "`id`.wav",
        "a; rm -rf ~.wav", "-i.wav", "--help", "a%00.wav", "\u202egpj.wav", "å" * 5000, "CON",
        ".", "..", "a\tb.wav", "upload", "samples.f32", "%s%s%n.wav", "<script>.wav",
    ):  # fmt: skip
        statuses = _FINE if len(name) < 1000 else _EITHER
        yield Hostile(f"named {name[:30]!r}", speech, statuses, name)


@dataclass(frozen=True)
class _Opens:
    """Opens a file where it is unpickled."""

    path: Path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (str(self.path),)


def _zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def _video(container: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as opened:
        stream = opened.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 20, np.uint8))
            frame.time_base, frame.pts = Fraction(1, 10), number
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return out.getvalue()


def _refers_to(mp4: bytes, file: Path) -> bytes:
    """An MP4 whose samples lie in another file, by an alias as QuickTime writes it."""
    path = str(file).encode()
    alias = bytes(150) + struct.pack(">hH", 2, len(path)) + path + struct.pack(">hH", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    place = mp4.index(b"dref") - 4
    (size,) = struct.unpack(">I", mp4[place : place + 4])
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    grown = bytearray(mp4[:place] + dref + mp4[place + size :])
    for parent in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = grown.index(parent) - 4
        (before,) = struct.unpack(">I", grown[at : at + 4])
        grown[at : at + 4] = struct.pack(">I", before + len(dref) - size)
    return bytes(grown)


def _live(webm: bytes) -> bytes:
    """A WebM as a browser records it, which does not tell how long it is."""
    return webm.replace(b"\x44\x89\x88", b"\xec\x89\x88", 1)


def _untold_flac() -> bytes:
    data = bytearray(written(np.zeros(LONG_S * 4_000, np.float32), 4_000, format="FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)
