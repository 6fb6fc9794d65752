"""One door for every audio file: to 16 kHz mono float32, or a plain refusal.

What is opened is decided by the first bytes of the content, never by the file's name, and only for
the containers in `CONTAINERS`: playlists, session descriptions and concatenation scripts, which a
general decoder would follow to other files, are text here. Caps on bytes and on decoded seconds
hold while decoding, so that a small file that decodes to hours costs nothing.
"""

import io
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from modersmal.errors import AudioError, EmptyAudioError, LongAudioError

SAMPLE_RATE = 16_000
CHUNK_S = 30.0  # Whisper's window
MIN_SOURCE_RATE_HZ = 4_000
MAX_SOURCE_RATE_HZ = 768_000
FULL_SCALE = 0.999
MAX_BYTES = 4 * 1024**3
MAX_DURATION_S = 24 * 3600.0

# Container -> the name by which FFmpeg knows its demuxer.
CONTAINERS = {
    "wav": "wav",
    "flac": "flac",
    "mp3": "mp3",
    "ogg": "ogg",
    "aiff": "aiff",
    "mp4": "mov",
    "webm": "matroska",
    "aac": "aac",
}
_GUESSED = {"mp3", "aac"}  # their lengths are worked out from how dense they begin
_BY_SOUNDFILE = {"wav", "flac", "mp3", "ogg", "aiff"}
EXTENSIONS = frozenset({
    ".wav", ".flac", ".mp3", ".mpga", ".mpeg", ".ogg", ".oga", ".opus", ".aif", ".aiff",
    ".m4a", ".mp4", ".mov", ".webm", ".mkv", ".aac",
})  # fmt: skip
_SNIFFED_BYTES = 64
_BLOCK_FRAMES = 1 << 16
_BLOCK_VALUES = 8 * _BLOCK_FRAMES  # of all channels: a header may claim a thousand of them
_UNKNOWN_FRAMES = 1 << 62  # what libsndfile tells of a FLAC stream that does not say


@dataclass(frozen=True)
class Audio:
    """Decoded audio.

    `samples` has shape (n,), float32, 16 kHz, mono. `peak` is the largest absolute value and
    `clipped` the share of samples at full scale, both before mixing down and resampling.
    """

    samples: np.ndarray
    container: str
    source_rate_hz: int
    channels: int
    peak: float
    clipped: float

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def sniff(head: bytes) -> str | None:
    """Name the container that `head` (the first 64 bytes) begins, or None."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "ogg"
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if head[:3] == b"ID3":
        return "mp3"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if _is_mp3_frame(head) else None


def decode(
    source: bytes | Path | str,
    *,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_duration_s: float = MAX_DURATION_S,
) -> Audio:
    """Decode a file, or the bytes of one, to 16 kHz mono float32.

    `name` stands in error messages for content that has no path.

    Raises:
        AudioError: missing, too large, too long, empty, not audio, or damaged.
    """
    name = name or ("the audio" if isinstance(source, bytes) else str(source))
    container = _container(source, name, max_bytes)
    errors = []
    for reader in _readers(container):
        try:
            return _collect(reader(source, container), container, name, max_duration_s)
        except _Damaged as damage:
            errors.append(str(damage))
    raise AudioError(f"{name} cannot be decoded as {container}: {'; '.join(errors)}")


def stream(
    path: Path,
    *,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_duration_s: float = MAX_DURATION_S,
) -> Iterator[np.ndarray]:
    """Decode a file in pieces: (n,) float32, 16 kHz mono, in their order.

    Joined, they are the samples of `decode`; memory holds one piece at a time.

    Raises:
        AudioError: as `decode`; where the file is damaged midway, after the pieces before.
    """
    name = name or str(path)
    container = _container(path, name, max_bytes)
    errors = []
    for reader in _readers(container):
        mono = _Mono(name, max_duration_s)
        try:
            for block in reader(path, container):
                yield mono.add(block)
            yield mono.rest()
            return
        except _Damaged as damage:
            errors.append(str(damage))
            if mono.frames:  # another reader might place what follows elsewhere
                break
    raise AudioError(f"{name} cannot be decoded as {container}: {'; '.join(errors)}")


def length_s(path: Path) -> float | None:
    """Seconds that a file lasts by its header, undecoded; None where that does not say it."""
    try:
        container = _container(path, str(path), MAX_BYTES)
        return _by_soundfile_s(path) if container in _BY_SOUNDFILE else _by_av_s(path, container)
    except (AudioError, OSError, soundfile.LibsndfileError):
        return None


def told_s(path: Path, most_s: float) -> float | None:
    """Seconds that a file says it lasts, undecoded; None where it does not.

    By its header, or, where that says nothing or guesses, by the times of its packets, which are
    read until `most_s` is passed.
    """
    try:
        container = _container(path, str(path), MAX_BYTES)
    except AudioError:
        return None
    told = None if container in _GUESSED else length_s(path)
    return _by_packets_s(path, container, most_s) if told is None else told


def encode_flac(samples: np.ndarray) -> bytes:
    """Encode mono float32 samples at 16 kHz as 16-bit FLAC."""
    out = io.BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def encode_opus(samples: np.ndarray) -> bytes:
    """Encode mono float32 samples at 16 kHz as Ogg Opus."""
    out = io.BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE, format="OGG", subtype="OPUS")
    return out.getvalue()


class _Damaged(Exception):
    """One reader could not decode; another may."""


@dataclass(frozen=True)
class _Block:
    samples: np.ndarray  # (frames, channels) float32
    rate_hz: int


def _container(source: bytes | Path | str, name: str, max_bytes: int) -> str:
    """The container of a file, or of the bytes of one. Raises AudioError where it is none."""
    if isinstance(source, bytes):
        head, size = source[:_SNIFFED_BYTES], len(source)
    else:
        head, size = _read_head(Path(source), name)
    if size > max_bytes:
        raise AudioError(f"{name} has {size:,} bytes, over the cap of {max_bytes:,}")
    if size == 0:
        raise EmptyAudioError(f"{name} is empty")
    container = sniff(head)
    if container is None:
        what = "text" if _is_text(head) else "no audio container that we open"
        raise AudioError(
            f"{name} is {what}; give {', '.join(sorted(CONTAINERS))} (a real one, not a renamed)"
        )
    return container


def _read_head(path: Path, name: str) -> tuple[bytes, int]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{name} is not a file")
        with path.open("rb") as file:
            return file.read(_SNIFFED_BYTES), status.st_size
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist") from None
    except ValueError:
        raise AudioError(f"{name!r} cannot be a path") from None
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror}") from error


def _is_text(head: bytes) -> bool:
    """Whether `head` is UTF-8 without control characters; its last character may be cut."""
    text = head.decode("utf-8", errors="ignore")
    cut = len(head) - len(text.encode("utf-8"))
    return cut < 4 and all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)


def _is_mp3_frame(head: bytes) -> bool:
    """Whether `head` begins with the header of an MPEG audio frame, layer II or III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer in (1, 2) and bitrate not in (0, 15) and rate != 3


class _Mono:
    """Mixes blocks down and resamples them as they come, and knows what was in them so far."""

    def __init__(self, name: str, max_duration_s: float) -> None:
        self.name, self.max_duration_s = name, max_duration_s
        self.frames = self.values = self.at_full_scale = self.rate_hz = self.channels = 0
        self.peak = 0.0
        self.resampler: soxr.ResampleStream | None = None

    def add(self, block: _Block) -> np.ndarray:
        """The block as (n,) float32 at 16 kHz, mono; what the resampler holds back comes later."""
        if not self.frames:
            self._begin(block)
        if (block.rate_hz, block.samples.shape[1]) != (self.rate_hz, self.channels):
            raise _Damaged("its sample rate or its channels change midway")
        self.frames += len(block.samples)
        if self.frames > self.max_duration_s * self.rate_hz:
            raise LongAudioError(f"{self.name} is longer than the cap of {self.max_duration_s:g} s")
        magnitude = np.abs(block.samples)
        self.peak = float(np.maximum(self.peak, magnitude.max(initial=0.0)))
        if not np.isfinite(self.peak):
            raise AudioError(f"{self.name} holds samples that are not numbers")
        self.at_full_scale += int(np.count_nonzero(magnitude >= FULL_SCALE))
        self.values += magnitude.size
        mono = block.samples.mean(axis=1) if self.channels > 1 else block.samples[:, 0]
        return self.resampler.resample_chunk(mono) if self.resampler else mono

    def rest(self) -> np.ndarray:
        """What the resampler still held. Raises EmptyAudioError where there was nothing at all."""
        if not self.frames:
            raise EmptyAudioError(f"{self.name} holds no samples")
        rest = np.empty(0, np.float32)
        return self.resampler.resample_chunk(rest, last=True) if self.resampler else rest

    def _begin(self, block: _Block) -> None:
        self.rate_hz, self.channels = block.rate_hz, block.samples.shape[1]
        if self.rate_hz < MIN_SOURCE_RATE_HZ:
            raise AudioError(
                f"{self.name} has {self.rate_hz:,} samples a second, too few for speech "
                f"({MIN_SOURCE_RATE_HZ:,} at least)"
            )
        if self.rate_hz > MAX_SOURCE_RATE_HZ:
            raise AudioError(
                f"{self.name} claims {self.rate_hz:,} samples a second, more than any recorder "
                f"makes ({MAX_SOURCE_RATE_HZ:,} at most)"
            )
        if self.rate_hz != SAMPLE_RATE:
            self.resampler = soxr.ResampleStream(self.rate_hz, SAMPLE_RATE, 1, dtype="float32")


def _collect(blocks: Iterable[_Block], container: str, name: str, max_duration_s: float) -> Audio:
    mono = _Mono(name, max_duration_s)
    parts = [mono.add(block) for block in blocks]
    samples = np.ascontiguousarray(np.concatenate([*parts, mono.rest()]), dtype=np.float32)
    clipped = mono.at_full_scale / mono.values
    return Audio(samples, container, mono.rate_hz, mono.channels, mono.peak, clipped)


def _readers(container: str) -> list[Callable[[bytes | Path | str, str], Iterator[_Block]]]:
    return [_soundfile_blocks, _av_blocks] if container in _BY_SOUNDFILE else [_av_blocks]


def _open(source: bytes | Path | str) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def _soundfile_blocks(source: bytes | Path | str, container: str) -> Iterator[_Block]:
    with _open(source) as file:
        # A descriptor rather than a name, whose extension libsndfile would weigh.
        opened = file if isinstance(source, bytes) else file.fileno()
        try:
            with soundfile.SoundFile(opened, closefd=False) as audio:
                frames = min(_BLOCK_FRAMES, _BLOCK_VALUES // audio.channels)
                while len(block := audio.read(frames, dtype="float32", always_2d=True)):
                    yield _Block(block, audio.samplerate)
        except soundfile.LibsndfileError as error:
            raise _Damaged(str(error.error_string)) from error


def _av_blocks(source: bytes | Path | str, container: str) -> Iterator[_Block]:
    import av

    try:
        with _open(source) as file, av.open(file, "r", CONTAINERS[container]) as opened:
            if not opened.streams.audio:
                raise _Damaged("it has no audio track")
            to_float = av.AudioResampler(format="fltp")  # changes neither rate nor channels
            for frame in opened.decode(opened.streams.audio[0]):
                for planar in to_float.resample(frame):
                    samples = planar.to_ndarray().T
                    for first in range(0, len(samples), _BLOCK_FRAMES):
                        block = samples[first : first + _BLOCK_FRAMES]
                        yield _Block(block, planar.sample_rate)
    except av.FFmpegError as error:
        raise _Damaged(str(error.strerror or error)) from error
    except ValueError as error:
        raise _Damaged("its sample rate or its channels change midway") from error


def _by_soundfile_s(path: Path) -> float | None:
    with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as audio:
        return audio.frames / audio.samplerate if audio.frames < _UNKNOWN_FRAMES else None


def _by_av_s(path: Path, container: str) -> float | None:
    import av

    try:
        with path.open("rb") as file, av.open(file, "r", CONTAINERS[container]) as opened:
            return opened.duration / av.time_base if opened.duration else None
    except (av.FFmpegError, ValueError):
        return None


def _by_packets_s(path: Path, container: str, most_s: float) -> float | None:
    import av

    last_s = None
    try:
        with path.open("rb") as file, av.open(file, "r", CONTAINERS[container]) as opened:
            for packet in opened.demux(opened.streams.audio[:1]):
                if packet.pts is not None and packet.time_base is not None:
                    last_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    if last_s > most_s:
                        break
    except (av.FFmpegError, ValueError, OSError):
        return None
    return last_s
