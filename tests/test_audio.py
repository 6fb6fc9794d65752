"""Every container opens to the same 16 kHz mono; everything else is refused in one sentence."""

import io
import os
import struct
import time
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from encoded_audio import CONTENT, SPEECH, encoded, silent_opus, tone, written
from modersmal import audio
from modersmal.audio import SAMPLE_RATE, decode, length_s, stream, told_s
from modersmal.errors import AudioError


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The best correlation over the shifts that codecs add, up to 0.15 s."""
    length = min(len(one), len(other)) - 2400
    window = one[1200 : 1200 + length]
    return max(
        float(np.corrcoef(window, other[1200 + shift : 1200 + shift + length])[0, 1])
        for shift in range(-1200, 1200, 2)
        if 1200 + shift + length <= len(other)
    )


CONTAINER_OF = {
    "rf64": "wav", "vorbis": "ogg", "opus": "ogg", "m4a": "mp4", "mkv-aac": "webm", "mp2": "mp3",
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENT)
def test_every_container_opens_to_16_khz_mono(kind: str, tmp_path: Path) -> None:
    content = CONTENT[kind]()
    path = tmp_path / "no-extension"
    path.write_bytes(content)
    opened = decode(path)
    assert opened.container == CONTAINER_OF.get(kind, kind.split("-")[0].replace("mov", "mp4"))
    assert opened.samples.dtype == np.float32
    assert opened.samples.ndim == 1
    assert opened.duration_s == pytest.approx(2.0, abs=0.15)
    assert correlation(tone(2.0), opened.samples) > 0.99
    assert np.array_equal(decode(content).samples, opened.samples)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_samples_equal_the_reference(rate_hz: int, channels: int) -> None:
    """Mixing and resampling in blocks gives what they give in one piece."""
    generator = np.random.default_rng(rate_hz)
    samples = generator.normal(0, 0.1, (5 * rate_hz, channels)).astype(np.float32)
    opened = decode(written(samples, rate_hz, format="WAV", subtype="FLOAT"))
    mono = samples.mean(axis=1) if channels > 1 else samples[:, 0]
    reference = soxr.resample(mono, rate_hz, SAMPLE_RATE) if rate_hz != SAMPLE_RATE else mono
    assert np.array_equal(opened.samples, reference)
    assert (opened.source_rate_hz, opened.channels) == (rate_hz, channels)
    assert opened.peak == np.abs(samples).max()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([8_000, 16_000, 48_000]))
def test_any_length_survives(frames: int, rate_hz: int) -> None:
    opened = decode(written(tone(1.0, rate_hz)[:frames], rate_hz, format="WAV"))
    assert opened.duration_s == pytest.approx(frames / min(rate_hz, 10**9), abs=2 / SAMPLE_RATE)


def test_clipping_is_measured_before_mixing() -> None:
    samples = np.zeros((1000, 2), np.float32)
    samples[:100, 0] = 1.0
    samples[:100, 1] = -1.0
    opened = decode(written(samples, SAMPLE_RATE, format="WAV", subtype="FLOAT"))
    assert opened.clipped == pytest.approx(0.1)
    assert opened.peak == 1.0
    assert not opened.samples.any()


def test_our_own_encodings_open() -> None:
    speech = tone(1.0)
    assert np.abs(decode(audio.encode_flac(speech)).samples - speech).max() < 2 / 2**15
    assert correlation(speech, decode(audio.encode_opus(speech)).samples) > 0.95


# Hostile and broken input ------------------------------------------------------------------------

SECRET = "the secret beside it"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.wav\n#EXT-X-ENDLIST\n"
CONCATENATION = "ffconcat version 1.0\nfile secret.wav\n"
BAD = {
    "sdp": (SDP.encode(), "text"),
    "ffconcat": (CONCATENATION.encode(), "text"),
    "hls": (PLAYLIST.encode(), "text"),
    "dash": (b'<?xml version="1.0"?><MPD><BaseURL>secret.wav</BaseURL></MPD>', "text"),
    "concat-with-bom": ("\ufeff" + CONCATENATION).encode("utf-8"),
    "utf-16": ("\ufeff" + PLAYLIST).encode("utf-16"),
    "swedish": ("Räksmörgåsar och smörgåsbord på en ö i älven. " * 3).encode(),
    "zeros": bytes(5000),
    "zip": b"PK\x03\x04" + bytes(100),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "avi": b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(100),
    "cut-wav": written(SPEECH, 24_000, format="WAV")[:30],
    "cut-flac": written(SPEECH, 24_000, format="FLAC")[:200],
    "cut-mp4": encoded(SPEECH, 24_000, "mp4", "aac")[:300],
    "cut-webm": encoded(SPEECH, 24_000, "webm", "libopus")[:80],
    "junk-mp3": b"\xff\xfb\x90\x00" + bytes(range(256)),
    "junk-ogg": b"OggS" + bytes(200),
    "junk-mp4": b"\x00\x00\x00\x18ftypmp42" + bytes(200),
    "no-samples": written(np.zeros(0, np.float32), 16_000, format="WAV"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("extension", ["wav", "mp3", "m3u8", "raw"])
def test_bad_content_is_refused_whatever_its_name(
    kind: str, extension: str, tmp_path: Path
) -> None:
    content, word = BAD[kind] if isinstance(BAD[kind], tuple) else (BAD[kind], "")
    (tmp_path / "secret.wav").write_bytes(written(SPEECH, 24_000, format="WAV"))
    path = tmp_path / f"clip.{extension}"
    path.write_bytes(content)
    with pytest.raises(AudioError) as refused:
        decode(path)
    message = str(refused.value)
    assert str(path) in message
    assert word in message
    assert "\n" not in message
    with pytest.raises(AudioError):
        decode(content, name="clip 7")


def test_an_extension_never_decides(tmp_path: Path) -> None:
    for extension in ("raw", "vox", "mp3", "txt"):
        path = tmp_path / f"clip.{extension}"
        path.write_bytes(CONTENT["wav"]())
        assert decode(path).container == "wav"


def test_missing_empty_folder_and_pipe(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.wav")
    for name, words in {
        "missing.wav": "does not exist",
        "empty.wav": "is empty",
        "pipe.wav": "is not a file",
        ".": "is not a file",
        "\0": "cannot be a path",
    }.items():
        with pytest.raises(AudioError, match=words):
            decode(str(tmp_path / name))
    with pytest.raises(AudioError, match="clip 7 is empty"):
        decode(b"", name="clip 7")


def test_five_hours_in_a_small_file_stop_at_the_cap() -> None:
    """The cap holds while decoding: neither time nor memory of what lies behind it is spent."""
    content = silent_opus(5 * 3600)
    assert len(content) < 10 * 2**20
    assert soundfile.info(io.BytesIO(content)).duration == pytest.approx(5 * 3600, abs=1)
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(AudioError, match="longer than the cap of 30 s"):
        decode(content, max_duration_s=30)
    assert time.process_time() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()


def test_bytes_over_the_cap_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.wav"
    with path.open("wb") as file:
        file.write(CONTENT["wav"]())
        file.truncate(8 * 1024**3)
    with pytest.raises(AudioError, match="over the cap"):
        decode(path)
    with pytest.raises(AudioError, match="over the cap of 100"):
        decode(CONTENT["wav"](), max_bytes=100)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 70_000, -1])
def test_samples_that_are_not_numbers_are_refused(value: float, place: int) -> None:
    samples = tone(5.0)
    samples[place] = value
    with pytest.raises(AudioError, match="not numbers"):
        decode(written(samples, SAMPLE_RATE, format="WAV", subtype="FLOAT"))


def test_a_rate_too_low_for_speech_is_refused() -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(1)
        file.writeframes(bytes(20_000))
    with pytest.raises(AudioError, match="samples a second"):
        decode(out.getvalue())


def test_a_wav_that_lies_about_its_length_gives_what_is_there() -> None:
    content = bytearray(CONTENT["wav"]())
    content[40:44] = struct.pack("<I", 0x7FFFFFFF)
    assert decode(bytes(content)).duration_s == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("kind", CONTENT)
def test_half_a_file_is_shorter_or_refused(kind: str) -> None:
    """Where the index stands at the end or a checksum breaks there is nothing to open."""
    content = CONTENT[kind]()
    try:
        left_s = decode(content[: len(content) // 2]).duration_s
    except AudioError:
        left_s = 0.0
    assert left_s < 1.7


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_crash_it(data: st.DataObject) -> None:
    """Damage anywhere gives audio or an AudioError, never another exception."""
    kind = data.draw(st.sampled_from(sorted(_DAMAGED)))
    content = bytearray(_DAMAGED[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        opened = decode(bytes(content), max_duration_s=60)
    except AudioError:
        return
    assert np.isfinite(opened.samples).all()
    assert opened.duration_s <= 60.1


_DAMAGED = {
    kind: CONTENT[kind]() for kind in ("wav", "flac", "mp3", "opus", "m4a", "webm-opus", "aac")
}


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a"])
def test_a_stream_is_what_decode_gives_in_pieces(kind: str, tmp_path: Path) -> None:
    samples, path = tone(20.0, 44_100), tmp_path / "long.bin"
    if kind == "m4a":
        path.write_bytes(encoded(samples, 44_100, "mp4", "aac"))
    else:
        path.write_bytes(written(samples, 44_100, format=kind.upper()))
    pieces = list(stream(path))
    assert len(pieces) > 5
    assert np.array_equal(np.concatenate(pieces), decode(path).samples)
    assert length_s(path) == pytest.approx(20.0, abs=0.1)


def test_a_stream_of_an_hour_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    minute = np.round(tone(60.0) * 32_000).astype(np.int16)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(minute)
    tracemalloc.start()
    samples = sum(len(piece) for piece in stream(path))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert samples == 3600 * SAMPLE_RATE
    assert peak_bytes < 4 * 1024**2


@pytest.mark.parametrize("kind", CONTENT)
def test_a_file_says_how_long_it_is_undecoded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(CONTENT[kind]())
    assert told_s(path, 10.0) == pytest.approx(2.0, abs=0.15)


def test_where_the_header_says_nothing_packets_do(tmp_path: Path) -> None:
    live, untold = tmp_path / "live", tmp_path / "untold"
    live.write_bytes(silent_opus(60, "webm").replace(b"\x44\x89\x88", b"\xec\x89\x88", 1))
    flac = bytearray(written(tone(60.0), SAMPLE_RATE, format="FLAC"))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    untold.write_bytes(flac)
    for path in (live, untold):
        assert length_s(path) is None
        assert told_s(path, 100.0) == pytest.approx(60.0, abs=0.5)
        assert 10.0 < (told_s(path, 10.0) or 0.0) < 15.0
    untold.write_text("no audio")
    assert told_s(untold, 100.0) is None


def test_a_loud_end_does_not_make_a_file_longer(tmp_path: Path) -> None:
    """Quiet AAC and MP3 are dense with nothing; guesses by that are far too long."""
    samples = np.concatenate([np.zeros(30 * 24_000, np.float32), tone(30.0, 24_000)])
    for container, codec in (("adts", "aac"), ("mp3", "libmp3lame")):
        path = tmp_path / container
        path.write_bytes(encoded(samples, 24_000, container, codec))
        assert told_s(path, 100.0) == pytest.approx(60.0, abs=0.5)


def test_a_stream_of_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")
    assert length_s(path) is None
    with pytest.raises(AudioError, match="text"):
        list(stream(path))
