"""One door for every audio file: to 16 kHz mono float32, or a plain refusal.

What is opened is decided by the first bytes of the content, never by the file's name, and only for
the containers in `CONTAINERS`: playlists, session descriptions and concatenation scripts, which a
general decoder would follow to other files, are text here. Caps on bytes and on decoded seconds
hold while decoding, so that a small file that decodes to hours costs nothing.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from modersmal.errors import AudioError

SAMPLE_RATE = 16_000
CHUNK_S = 30.0
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
_BY_SOUNDFILE = {"wav", "flac", "mp3", "ogg", "aiff"}
EXTENSIONS = frozenset(
    ".wav .flac .mp3 .mpga .mpeg .ogg .oga .opus .aif .aiff .m4a .mp4 .mov .webm .mkv .aac".split()
)
_SNIFFED_BYTES = 64
_BLOCK_FRAMES = 1 << 16


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
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "mp3"
    return None


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
    if isinstance(source, bytes):
        name, head, size = name or "the audio", source[:_SNIFFED_BYTES], len(source)
    else:
        path = Path(source)
        name = name or str(path)
        head, size = _read_head(path, name)
    if size > max_bytes:
        raise AudioError(f"{name} has {size:,} bytes, over the cap of {max_bytes:,}")
    if size == 0:
        raise AudioError(f"{name} is empty")
    container = sniff(head)
    if container is None:
        what = "text" if _is_text(head) else "no audio container that we open"
        raise AudioError(
            f"{name} is {what}; give {', '.join(sorted(CONTAINERS))} (a real one, not a renamed)"
        )
    errors = []
    readers = [_soundfile_blocks, _av_blocks] if container in _BY_SOUNDFILE else [_av_blocks]
    for reader in readers:
        try:
            return _collect(reader(source, container), container, name, max_duration_s)
        except _Damaged as damage:
            errors.append(str(damage))
    raise AudioError(f"{name} cannot be decoded as {container}: {'; '.join(errors)}")


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


def _read_head(path: Path, name: str) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(_SNIFFED_BYTES), path.stat().st_size
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist") from None
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror}") from error


def _is_text(head: bytes) -> bool:
    try:
        return head.decode("utf-8").isprintable() or head.decode("utf-8").strip().isascii()
    except UnicodeDecodeError:
        return False


def _collect(
    blocks: Iterable[_Block], container: str, name: str, max_duration_s: float
) -> Audio:
    parts: list[np.ndarray] = []
    frames, peak, at_full_scale, values, rate_hz, channels = 0, 0.0, 0, 0, 0, 0
    for block in blocks:
        rate_hz, channels = block.rate_hz, block.samples.shape[1]
        frames += len(block.samples)
        if frames > max_duration_s * rate_hz:
            raise AudioError(f"{name} is longer than the cap of {max_duration_s:g} s")
        magnitude = np.abs(block.samples)
        peak = max(peak, float(magnitude.max(initial=0.0)))
        at_full_scale += int(np.count_nonzero(magnitude >= 0.999))
        values += magnitude.size
        parts.append(block.samples.mean(axis=1) if channels > 1 else block.samples[:, 0])
    if not frames:
        raise AudioError(f"{name} holds no samples")
    if not np.isfinite(peak):
        raise AudioError(f"{name} holds samples that are not numbers")
    mono = np.concatenate(parts)
    if rate_hz != SAMPLE_RATE:
        mono = soxr.resample(mono, rate_hz, SAMPLE_RATE)
    samples = np.ascontiguousarray(mono, dtype=np.float32)
    return Audio(samples, container, rate_hz, channels, peak, at_full_scale / values)


def _soundfile_blocks(source: bytes | Path | str, container: str) -> Iterator[_Block]:
    file: BinaryIO | str = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    try:
        with soundfile.SoundFile(file) as audio:
            while len(block := audio.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                yield _Block(block, audio.samplerate)
    except soundfile.LibsndfileError as error:
        raise _Damaged(str(error.error_string)) from error


def _av_blocks(source: bytes | Path | str, container: str) -> Iterator[_Block]:
    import av

    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        with av.open(io.BytesIO(data), format=CONTAINERS[container]) as opened:
            if not opened.streams.audio:
                raise _Damaged("it has no audio track")
            stream = opened.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            for frame in opened.decode(stream):
                for planar in resampler.resample(frame):
                    yield _Block(planar.to_ndarray().T, planar.sample_rate)
            for planar in resampler.resample(None):
                yield _Block(planar.to_ndarray().T, planar.sample_rate)
    except av.FFmpegError as error:
        raise _Damaged(str(error.strerror or error)) from error
