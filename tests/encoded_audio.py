"""Audio in every container that we open, made by the encoders themselves."""

import io
from fractions import Fraction

import av
import numpy as np
import soundfile

from modersmal.audio import SAMPLE_RATE


def tone(seconds: float, rate_hz: int = SAMPLE_RATE, pitch_hz: float = 440.0) -> np.ndarray:
    """A swelling tone, (n,) float32, so that shifts and gains show."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    swell = 0.1 + 0.4 * np.sin(np.pi * time_s / max(seconds, 1e-9))
    return (swell * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


def written(samples: np.ndarray, rate_hz: int, **options: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, **options)
    return out.getvalue()


def encoded(samples: np.ndarray, rate_hz: int, container: str, codec: str) -> bytes:
    """Encode mono samples with FFmpeg, for the containers that libsndfile lacks."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as opened:
        stream = opened.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(
            format=stream.format.name, layout="mono", rate=rate_hz, frame_size=stream.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            opened.mux(stream.encode(part))
        opened.mux(stream.encode(None))
    return out.getvalue()


def silent_opus(seconds: int, container: str = "ogg") -> bytes:
    """Opus of silence, made quickly: one packet, again and again."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as opened:
        stream = opened.add_stream("libopus", rate=48_000, layout="mono")
        stream.codec_context.options = {"frame_duration": "60"}
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2880), np.float32), "flt", "mono")
        frame.sample_rate = 48_000
        packet = bytes([*stream.encode(frame), *stream.encode(None)][0])
        for index in range(round(seconds / 0.06)):
            copy = av.Packet(packet)
            copy.stream, copy.time_base = stream, Fraction(1, 48_000)
            copy.pts = copy.dts = index * 2880
            copy.duration = 2880
            opened.mux(copy)
    return out.getvalue()


SPEECH = tone(2.0, 24_000)
CONTENT = {
    "wav": lambda: written(SPEECH, 24_000, format="WAV"),
    "wav-float": lambda: written(SPEECH, 24_000, format="WAV", subtype="FLOAT"),
    "wav-24": lambda: written(SPEECH, 24_000, format="WAV", subtype="PCM_24"),
    "wav-mulaw": lambda: written(SPEECH, 24_000, format="WAV", subtype="ULAW"),
    "rf64": lambda: written(SPEECH, 24_000, format="RF64"),
    "flac": lambda: written(SPEECH, 24_000, format="FLAC"),
    "mp3": lambda: written(SPEECH, 24_000, format="MP3"),
    "vorbis": lambda: written(SPEECH, 24_000, format="OGG", subtype="VORBIS"),
    "opus": lambda: written(SPEECH, 24_000, format="OGG", subtype="OPUS"),
    "aiff": lambda: written(SPEECH, 24_000, format="AIFF"),
    "m4a": lambda: encoded(SPEECH, 24_000, "ipod", "aac"),
    "mp4": lambda: encoded(SPEECH, 24_000, "mp4", "aac"),
    "mov-alac": lambda: encoded(SPEECH, 24_000, "mov", "alac"),
    "webm-opus": lambda: encoded(SPEECH, 24_000, "webm", "libopus"),
    "mkv-aac": lambda: encoded(SPEECH, 24_000, "matroska", "aac"),
    "aac": lambda: encoded(SPEECH, 24_000, "adts", "aac"),
    "mp2": lambda: encoded(SPEECH, 24_000, "mp2", "mp2"),
}
