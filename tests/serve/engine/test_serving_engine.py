"""Recordings come out as text, in order, whatever ends midway."""

import asyncio
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from running import Running, hear, pieces, segments, texts
from serving_releases import add_release, damage

import modersmal
from encoded_audio import encoded
from modersmal.allocator import KEEP_ALL_FREED
from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import LimitsConfig
from modersmal.errors import (
    AudioError,
    Busy,
    LongAudioError,
    ModersmalError,
    RecipeError,
    Unavailable,
)
from modersmal.serve.engine.child import Answer, Child, Question
from modersmal.serve.engine.engine import Engine
from modersmal.serve.engine.hearing import Hearing
from modersmal.serve.engine.options import Wish
from modersmal.serve.engine.results import Heard
from modersmal.whisper.convert import is_conversion

SPEECH = Path(__file__).parents[2] / "data" / "speech"
CLIP = SPEECH / "03.ogg"


@pytest.fixture(scope="module")
def loop() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def engine(loop: Running, cache: Path) -> Iterator[Engine]:
    started = loop.start("bundled")
    yield started
    loop.run(started.close())


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten sentences with a second between them."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    parts = [decode(path).samples for path in sorted(SPEECH.glob("*.ogg"))[:10]]
    path = tmp_path_factory.mktemp("recording") / "ten.wav"
    soundfile.write(path, np.concatenate([one for part in parts for one in (part, pause)]), 16_000)
    return path


@pytest.fixture(scope="module")
def heard(loop: Running, engine: Engine, recording: Path) -> Heard:
    return loop.run(hear(engine, recording, recording.parent / "heard"))


def test_the_text_is_that_of_the_command_line(
    loop: Running, engine: Engine, heard: Heard, recording: Path
) -> None:
    [transcript] = modersmal.transcribe([recording], model="bundled")
    found = loop.run(pieces(engine, heard))
    assert texts(found) == [segment.text for segment in transcript.segments]
    assert {piece.release for piece in found} == {"bundled"}
    assert {piece.language for piece in found} == {"sv"}


def test_segments_and_words_come_in_order_within_the_recording(
    loop: Running, engine: Engine, heard: Heard
) -> None:
    found = segments(loop.run(pieces(engine, heard, Wish(words=True))))
    assert len(found) == len(heard.parts)
    times_s = [time_s for one in found for time_s in (one.start_s, one.end_s)]
    assert times_s == sorted(times_s)
    assert times_s[-1] <= heard.duration_s
    for one in found:
        assert " ".join(word.text for word in one.words) == one.text
        within_s = [time_s for word in one.words for time_s in (word.start_s, word.end_s)]
        assert within_s == sorted(within_s)
        assert one.start_s <= within_s[0] <= within_s[-1] <= one.end_s
        assert all(0 <= word.probability <= 1 for word in one.words)
        assert 0 < one.probability <= 1
        assert one.avg_logprob < 0
        assert one.tokens


def test_a_job_goes_on_at_its_first_part_that_is_missing(
    loop: Running, engine: Engine, heard: Heard
) -> None:
    whole = loop.run(pieces(engine, heard))
    assert [piece.next_part for piece in whole] == list(range(1, len(heard.parts) + 1))
    rest = loop.run(pieces(engine, heard, first_part=6, patient=True))
    assert rest == whole[6:]


def test_what_was_heard_is_kept_beside_its_samples(heard: Heard) -> None:
    heard.save()
    assert Heard.load(heard.samples.parent) == heard


def test_silence_and_noise_give_no_text(loop: Running, engine: Engine, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(10 * SAMPLE_RATE) * 0.003
    for name, samples in {"silence": np.zeros(10 * SAMPLE_RATE), "noise": noise}.items():
        path = tmp_path / f"{name}.flac"
        soundfile.write(path, samples, SAMPLE_RATE)
        found = loop.run(hear(engine, path, tmp_path / name))
        assert found.parts == ()
        assert loop.run(pieces(engine, found)) == []


def test_many_at_once_get_what_each_would_get_alone(
    loop: Running, engine: Engine, tmp_path: Path
) -> None:
    paths = sorted(SPEECH.glob("*.ogg"))[:8]

    async def all_heard() -> list[Heard]:
        return [
            await hear(engine, path, tmp_path / str(number)) for number, path in enumerate(paths)
        ]

    async def all_at_once(recordings: list[Heard]) -> list[list[str]]:
        written = await asyncio.gather(*(pieces(engine, found) for found in recordings))
        return [texts(one) for one in written]

    recordings = loop.run(all_heard())
    together = loop.run(all_at_once(recordings))  # in batches as large as this machine gains by
    alone = [
        [segment.text for segment in transcript.segments]
        for transcript in modersmal.transcribe(paths, model="bundled", output=tmp_path / "alone")
    ]
    assert together == alone


def test_who_leaves_is_not_written_for(loop: Running, engine: Engine, heard: Heard) -> None:
    async def leave_after_one() -> int:
        async for piece in engine.transcribe(heard, Wish()):
            return piece.next_part
        return 0

    async def until_idle() -> None:
        while engine.state().waiting:
            await asyncio.sleep(0.01)

    assert loop.run(leave_after_one()) == 1
    loop.run(until_idle())


def test_a_writer_that_is_killed_loses_nothing(loop: Running, engine: Engine, heard: Heard) -> None:
    undisturbed = loop.run(pieces(engine, heard, patient=True))

    async def killed_midway() -> list[object]:
        found = []
        async for piece in engine.transcribe(heard, Wish(), patient=True):
            found.append(piece)
            if len(found) in (2, 5):
                os.kill(engine.state().pids[0], signal.SIGKILL)
        return found

    restarts = engine.state().restarts
    assert loop.run(killed_midway()) == undisturbed
    assert engine.state().restarts == restarts + 2
    assert engine.state().ready


def test_what_is_known_of_the_model_is_not_found_out_again(
    loop: Running, engine: Engine, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for its text waits for the weights alone: nothing is hashed, tried or timed."""
    asked, ask = [], Child.ask

    async def note(self: Child, question: Question, **options: Any) -> Answer:
        asked.append((question["do"], question.get("converted")))
        return await ask(self, question, **options)

    measured = engine.state().measured
    monkeypatch.setattr(Child, "ask", note)
    os.kill(engine.state().pids[0], signal.SIGKILL)
    assert texts(loop.run(pieces(engine, heard, patient=True)))
    loading = [one for one in asked if one[0] not in ("write", "measure")]
    assert [do for do, _ in loading] == ["load"]
    assert is_conversion(Path(loading[0][1]), "float32")
    assert measured.items() <= engine.state().measured.items()


def test_hearing_that_is_killed_is_done_again(
    loop: Running, engine: Engine, recording: Path, tmp_path: Path
) -> None:
    undisturbed = loop.run(hear(engine, recording, tmp_path / "undisturbed"))

    async def killed_midway() -> Heard:
        folder = tmp_path / "killed"
        hearing = asyncio.create_task(hear(engine, recording, folder))
        while not list(folder.glob("*.f32")):
            await asyncio.sleep(0.001)
        for pid in engine.state().pids[2:]:  # the one at work, and all that stand ready
            os.kill(pid, signal.SIGKILL)
        return await hearing

    found = loop.run(killed_midway())
    assert found.parts == undisturbed.parts
    assert found.samples.read_bytes() == undisturbed.samples.read_bytes()


def test_playlists_and_scripts_are_not_followed(
    loop: Running, engine: Engine, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, np.ones(SAMPLE_RATE) * 0.1, SAMPLE_RATE)
    for number, text in enumerate((
        f"ffconcat version 1.0\nfile {secret}\n",
        f"#EXTM3U\n#EXTINF:1,\n{secret}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        "",
    )):  # fmt: skip
        path = tmp_path / "attack.wav"
        path.write_text(text)
        with pytest.raises(AudioError):
            loop.run(hear(engine, path, tmp_path / str(number)))


@pytest.fixture(scope="module")
def strict(loop: Running, cache: Path) -> Iterator[Engine]:
    """An engine that takes 10 s, and has room for hardly any of it to wait."""
    started = loop.start("bundled", limits=LimitsConfig(max_hours=10 / 3600, queue_minutes=0.01))
    yield started
    loop.run(started.close())


def understated(path: Path, recording: Path) -> Path:
    """The recording as WebM whose header tells of a second."""
    samples, rate = soundfile.read(recording, dtype="float32")
    data = bytearray(encoded(samples, rate, "webm", "libopus"))
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", 1000.0)
    path.write_bytes(data)
    return path


def test_caps_hold_while_decoding(loop: Running, strict: Engine, recording: Path) -> None:
    folder = recording.parent
    with pytest.raises(LongAudioError, match="longer than the cap of 10 s"):
        loop.run(hear(strict, understated(folder / "a.webm", recording), folder / "long"))
    assert (folder / "long" / "samples.f32").stat().st_size <= 4 * 12 * SAMPLE_RATE
    with pytest.raises(AudioError, match="over the cap"):
        loop.run(hear(strict, CLIP, folder / "large", max_bytes=1000))


def test_what_is_too_long_by_its_header_is_not_decoded(
    loop: Running, strict: Engine, recording: Path
) -> None:
    folder = recording.parent / "told"
    with pytest.raises(LongAudioError, match="says that it lasts longer than the cap of 10 s"):
        loop.run(hear(strict, recording, folder))
    assert not list(folder.iterdir())


def test_decoding_that_takes_too_long_is_given_up(
    loop: Running, recording: Path, tmp_path: Path
) -> None:
    async def hastily() -> None:
        hearing = Hearing(LimitsConfig(decode_wall_s=0.001))
        await hearing.start()
        try:
            await hearing.hear(recording, tmp_path, max_bytes=1 << 30)
        finally:
            await hearing.close()

    with pytest.raises(AudioError, match="given up"):
        loop.run(hastily())


def test_too_much_is_refused_and_says_when_to_come_again(
    loop: Running, strict: Engine, heard: Heard
) -> None:
    async def second() -> None:
        waiting = strict.transcribe(heard, Wish())
        first = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as refusal:
            strict.transcribe(heard, Wish())
        assert 1 <= refusal.value.retry_after_s <= 60
        strict.transcribe(heard, Wish(), patient=True)
        first.cancel()

    loop.run(second())


def test_a_language_that_the_model_does_not_write_is_refused(engine: Engine, heard: Heard) -> None:
    with pytest.raises(RecipeError, match="does not write 'fi'"):
        engine.transcribe(heard, Wish(language="fi"))
    engine.transcribe(heard, Wish(language="sv-SE"))


@pytest.mark.parametrize(
    "wish", [{"temperature": 1.5}, {"beams": 0}, {"language": "xx-nothing"}, {"prompt": "x" * 5000}]
)
def test_what_no_model_can_be_asked_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(ModersmalError):
        Wish(**wish)  # type: ignore[arg-type]


def test_names_and_prompt_reach_the_model(loop: Running, engine: Engine, heard: Heard) -> None:
    plain = loop.run(pieces(engine, heard))
    told = loop.run(pieces(engine, heard, Wish(names=("Xerxes Quist",), prompt="Förr.")))
    assert texts(told) != texts(plain)
    only_first = loop.run(pieces(engine, heard, Wish(prompt="Xerxes Quist Zorn.")))
    assert texts(only_first)[1:] == texts(plain)[1:]


def test_drawn_texts_are_the_same_each_time(loop: Running, engine: Engine, heard: Heard) -> None:
    wish = Wish(temperature=0.8)
    alone = replace(heard, parts=heard.parts[:1])
    first, second = (texts(loop.run(pieces(engine, alone, wish))) for _ in range(2))
    assert first == second
    assert all(one.temperature == 0.8 for one in segments(loop.run(pieces(engine, alone, wish))))


@pytest.mark.chaos
def test_a_new_release_takes_over_and_a_broken_one_does_not(
    loop: Running, cache: Path, tmp_path: Path
) -> None:
    url = tmp_path / "store"
    add_release(url)
    engine = loop.start(str(url), watch_s=3600.0)
    clip = loop.run(hear(engine, CLIP, tmp_path / "clip"))
    assert {piece.release for piece in loop.run(pieces(engine, clip))} == {"release-1"}
    assert not loop.run(engine.look())
    add_release(url, content="two")
    assert loop.run(engine.look())
    assert {piece.release for piece in loop.run(pieces(engine, clip))} == {"release-2"}
    add_release(url, content="three")
    damage(url, 3)
    assert not loop.run(engine.look())
    state = engine.state()
    assert state.trouble
    assert state.release == "release-2"
    assert {piece.release for piece in loop.run(pieces(engine, clip))} == {"release-2"}
    add_release(url, content="four")
    assert loop.run(engine.look())
    assert engine.state().trouble is None
    assert engine.state().swaps == 2
    loop.run(engine.close())
    pinned = loop.start(str(url), release=2)
    assert pinned.state().release == "release-2"
    loop.run(pinned.close())


@pytest.mark.chaos
def test_no_recording_fails_while_a_release_takes_over(
    loop: Running, cache: Path, tmp_path: Path
) -> None:
    url = tmp_path / "store"
    add_release(url)
    engine = loop.start(str(url), watch_s=3600.0)
    clip = loop.run(hear(engine, CLIP, tmp_path / "clip"))
    answered: list[str] = []
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            answered.extend(piece.release for piece in await pieces(engine, clip))

    async def swap_under_load() -> None:
        askers = [asyncio.create_task(ask()) for _ in range(4)]
        for content in ("two", "three"):
            await asyncio.to_thread(add_release, url, "bundled", content)
            assert await engine.look()
        seen = len(answered)
        while len(answered) < seen + 8:
            await asyncio.sleep(0.01)
        over.set()
        await asyncio.gather(*askers)

    loop.run(swap_under_load())
    assert set(answered) == {"release-1", "release-2", "release-3"}
    loop.run(engine.close())


def test_a_stock_whisper_finds_out_the_language(
    loop: Running, cache: Path, tiny_whisper: object, tmp_path: Path
) -> None:
    model = str(tiny_whisper(width=64, terse=True))  # type: ignore[operator]
    engine = loop.start(model)
    clip = loop.run(hear(engine, CLIP, tmp_path / "clip"))
    found = loop.run(pieces(engine, clip))
    assert len(found) == 1
    assert "sv" in engine.state().languages
    assert len(engine.state().languages) > 90
    loop.run(pieces(engine, clip, Wish(language="fi", words=True)))
    loop.run(engine.close())


@pytest.mark.chaos
def test_what_is_no_model_is_told_before_anything_is_served(loop: Running, cache: Path) -> None:
    with pytest.raises(ModersmalError, match="nowhere"):
        loop.start("/nowhere/at/all")


def test_one_that_ends_every_process_ends_alone(
    loop: Running, engine: Engine, heard: Heard
) -> None:
    async def killed_each_time() -> None:
        async def kill() -> None:
            while True:
                with suppress(IndexError, ProcessLookupError):
                    os.kill(engine.state().pids[0], signal.SIGKILL)
                await asyncio.sleep(0.05)

        killer = asyncio.create_task(kill())
        try:
            with pytest.raises(Unavailable):
                await pieces(engine, heard)
        finally:
            killer.cancel()

    loop.run(killed_each_time())
    assert texts(loop.run(pieces(engine, heard, patient=True)))


def test_the_process_with_the_model_keeps_its_memory(engine: Engine) -> None:
    """It is flat however batches come and go."""
    environment = Path(f"/proc/{engine.state().pids[0]}/environ").read_text().split("\0")
    assert {f"{name}={value}" for name, value in KEEP_ALL_FREED.items()} <= set(environment)
