"""Serving beside a server of faster-whisper's that takes one request at a time, with one model.

    python benchmarks/serving.py
    python benchmarks/serving.py --size tiny --seconds 10 --minutes 0.5 --hour 0.05 --swaps 2

Clips of 5 s of speech are sent over HTTP to `modersmal serve` and to the reference, both on this
machine, int8, 5 beams. The model has that size and weights made for this: whatever it hears, it
writes the same 20 tokens and ends, so that both decode alike and every answer can be checked.

`speed`: 32 clients at once, and one, each server in turn, several rounds: at the contexts that
each has by itself, then both at 6 s, then both at 30 s (the model's card says that it needs them).
`endure`: 100 clients for minutes: answers, their 99th percentile, memory. `swaps`: releases of the
bundled model take over under load. `kill`: `kill -9` of the process with the model, halfway
through a long recording that the page was given. `start`: from nothing to the first answer. `page`:
until a person in Chromium can record, by browsers that have never seen the page.
"""

import argparse
import io
import itertools
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import soundfile
import torch

from modersmal import audio
from modersmal.language import resolve
from modersmal.transcribe.speech import utterances
from modersmal.whisper.convert import cached_ctranslate2
from modersmal.whisper.decode_ct2 import decoding_cores
from modersmal.whisper.load import Whisper
from modersmal.whisper.save import save_complete
from modersmal.whisper.tokens import special_ids, text_ids, text_of
from served import served
from train_step import make_whisper

_TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(_TESTS), str(_TESTS / "serve")]
from serving_releases import add_release  # noqa: E402

ROUTE = "/v1/audio/transcriptions"
CLIP_S, CLIPS, CONTEXT_S, TOKENS = 5.0, 8, 6, 20
SAYS = " Klockan är halv nio och vi går hem till mormor för att äta middag med hela familjen nu"
MANY, CROWD = 32, 100
GOAL_MANY, GOAL_SAME_SHORT, GOAL_SAME_LONG, GOAL_ONE = 5, 2, 0.95, 0.45
GOAL_CROWD, GOAL_FLAT, GOAL_NEXT_S, GOAL_PAGE_S = 0.8, 0.05, 5, 2
VISITORS = 8
_PROMPT_TOKENS = 4
_LOUD = 1000.0  # so that what the layers add to a position is nothing beside it
_MIB = 1 << 20


def write_model(size: str, context: str, folder: Path) -> str:
    """A model of that size that writes TOKENS tokens of SAYS, whatever it hears; its text."""
    whisper = replace(make_whisper(size), language=resolve("sv"), context=context)
    tokens = text_ids(whisper.tokenizer, [SAYS])[0][:TOKENS]
    _write_by_position(whisper, tokens)
    save_complete(whisper, folder, whisper.language)
    return text_of(whisper.tokenizer, whisper.vocabulary, tokens).strip()


def _write_by_position(whisper: Whisper, tokens: Sequence[int]) -> None:
    """Let each position say the token behind it, louder than anything that was heard or written."""
    decoder, end = whisper.model.model.decoder, special_ids(whisper.vocabulary).end
    words, places = decoder.embed_tokens.weight, decoder.embed_positions.weight
    with torch.no_grad():
        words[end] = 0.02 * torch.randn(words.shape[1], generator=torch.Generator().manual_seed(0))
        places[_PROMPT_TOKENS - 1 :] = _LOUD * words[end]
        for place, token in enumerate(tokens, _PROMPT_TOKENS - 1):
            places[place] = _LOUD * words[token]


def speech_clips() -> list[bytes]:
    """Speech of CLIP_S without a pause, each another."""
    spoken = []
    for path in sorted((_TESTS / "data" / "speech").glob("*.ogg")):
        samples = audio.decode(path).samples
        spoken += [samples[part["start"] : part["end"]] for part in utterances(samples)]
    length, clips = round(CLIP_S * audio.SAMPLE_RATE), []
    for first in range(len(spoken)):
        clip = np.concatenate([*spoken[first:], *spoken[:first]])[:length]
        if len(list(utterances(clip))) == 1:
            clips.append(audio.encode_flac(clip))
    return clips[:CLIPS]


def reference(folder: Path, context_s: int) -> None:
    """faster-whisper behind HTTP: requests in turn, each as it comes."""
    import uvicorn
    from fastapi import FastAPI, UploadFile
    from faster_whisper import WhisperModel, decode_audio
    from faster_whisper import transcribe as inside

    inside.pad_or_trim = partial(inside.pad_or_trim, length=100 * context_s)
    model = WhisperModel(
        str(cached_ctranslate2(folder, "int8")), device="cpu", compute_type="int8",
        cpu_threads=decoding_cores(),
    )  # fmt: skip
    app, turn = FastAPI(), threading.Lock()

    @app.post(ROUTE)
    def transcribe(file: UploadFile) -> dict[str, str]:
        with turn:
            segments, _ = model.transcribe(
                decode_audio(file.file), language="sv", beam_size=5, temperature=0.0,
                condition_on_previous_text=False, without_timestamps=True,
                no_speech_threshold=None, log_prob_threshold=None,
                compression_ratio_threshold=None,
            )  # fmt: skip
            return {"text": " ".join(segment.text.strip() for segment in segments)}

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"served at http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


@dataclass
class Load:
    """What clients got: seconds that good answers took, and how many others there were, by
    status (0: none came)."""

    took_s: list[float] = field(default_factory=list)
    others: dict[int, int] = field(default_factory=dict)
    releases: set[str] = field(default_factory=set)
    over_s: float = 0.0

    @property
    def per_s(self) -> float:
        return len(self.took_s) / self.over_s

    @property
    def failed(self) -> int:
        """Answers that were neither good nor "too much, come again"."""
        return sum(count for status, count in self.others.items() if status != 429)


@contextmanager
def asking(address: str, clips: Sequence[bytes], text: str, clients: int) -> Iterator[Load]:
    """Clients that ask until the end."""
    load, over, lock = Load(), threading.Event(), threading.Lock()

    def work(number: int) -> None:
        with httpx.Client(base_url=address, timeout=600) as client:
            for clip in itertools.islice(itertools.cycle(clips), number, None):
                if over.is_set():
                    return
                began_s = time.monotonic()
                status, answer = ask(client, clip)
                good = status == 200 and answer is not None and answer.json()["text"] == text
                with lock:
                    if over.is_set():
                        return
                    if good and answer is not None:
                        load.took_s.append(time.monotonic() - began_s)
                        load.releases.add(answer.headers.get("x-model-release", ""))
                    else:
                        load.others[status] = load.others.get(status, 0) + 1
                if status == 429 and answer is not None:
                    over.wait(float(answer.headers["retry-after"]))

    threads = [threading.Thread(target=work, args=[number]) for number in range(clients)]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        with lock:
            over.set()
        load.over_s = time.monotonic() - began_s
        for thread in threads:
            thread.join()


def ask(client: httpx.Client, clip: bytes) -> tuple[int, httpx.Response | None]:
    try:
        answer = client.post(ROUTE, files={"file": clip})
    except httpx.HTTPError:
        return 0, None
    return answer.status_code, answer


def loaded(address: str, clips: Sequence[bytes], text: str, clients: int, seconds: float) -> Load:
    """What so many clients get in so long."""
    with asking(address, clips, text, clients) as load:
        time.sleep(seconds)
    return load


@dataclass(frozen=True)
class Bench:
    """What all parts measure with. `models` are folders by the context that their card says."""

    folder: Path
    models: dict[str, Path]
    text: str
    clips: list[bytes]

    def ours(self, model: str | Path, *, watch_s: float = 1.0) -> list[str]:
        """The command that serves a model."""
        recipe = Path(tempfile.mkdtemp(dir=self.folder)) / "recipe.toml"
        recipe.write_text(
            f'[serve]\nfolder = "{recipe.parent}/kept"\nwatch_s = {watch_s}\n'
            "[serve.limits]\nrequests_per_minute = 1000000\n"
        )
        return ["-m", "modersmal", "serve", "--model", str(model), "--port", "0", "--recipe",
                str(recipe)]  # fmt: skip

    def theirs(self, context_s: int) -> list[str]:
        """The command of the reference."""
        return [str(Path(__file__).resolve()), "reference", str(self.models["dynamic"]),
                str(context_s)]  # fmt: skip


def speed(bench: Bench, seconds: float, rounds: int) -> None:
    names = {
        "ours": bench.ours(bench.models["dynamic"]),
        "faster-whisper, 30 s": bench.theirs(30),
        f"faster-whisper, {CONTEXT_S} s": bench.theirs(CONTEXT_S),
        "ours, 30 s": bench.ours(bench.models["full"]),
    }
    many: dict[str, list[float]] = {name: [] for name in names}
    alone: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(command, bench.folder))
            for name, command in names.items()
        }
        for one in servers.values():
            loaded(one.address, bench.clips, bench.text, 1, 2)  # warms up
            one.until_idle()
        for _ in range(rounds):
            for name, one in servers.items():
                crowd = loaded(one.address, bench.clips, bench.text, MANY, seconds)
                many[name].append(crowd.per_s)
                one.until_idle()
                single = loaded(one.address, bench.clips, bench.text, 1, seconds / 2)
                alone[name] += single.took_s
                if crowd.others or single.others:
                    print(f"  {name} has failed: {crowd.others} {single.others}")
    print(f"{MANY} clients, {seconds:g} s each, {rounds} rounds; one client")
    for name in names:
        rates = " ".join(f"{rate:.2f}" for rate in many[name])
        print(f"  {name}: {rates} clips a second; {statistics.median(alone[name]):.2f} s")
    rate = {name: statistics.mean(found) for name, found in many.items()}
    one_s = {name: statistics.median(found) for name, found in alone.items()}
    long, short = "faster-whisper, 30 s", f"faster-whisper, {CONTEXT_S} s"
    print(f"  throughput: {rate['ours'] / rate[long]:.2f} x (goal {GOAL_MANY})")
    print(f"  both {CONTEXT_S} s: {rate['ours'] / rate[short]:.2f} x (goal {GOAL_SAME_SHORT})")
    print(f"  both 30 s: {rate['ours, 30 s'] / rate[long]:.2f} x (goal {GOAL_SAME_LONG})")
    print(f"  one client: {one_s['ours'] / one_s[long]:.2f} of the time (goal {GOAL_ONE})")


def endure(bench: Bench, seconds: float, minutes: float) -> None:
    with served(bench.ours(bench.models["dynamic"]), bench.folder) as server:
        server.until_idle()
        before = loaded(server.address, bench.clips, bench.text, MANY, seconds)
        memory = []
        with asking(server.address, bench.clips, bench.text, CROWD) as crowd:
            end_s = time.monotonic() + 60 * minutes
            while time.monotonic() < end_s:
                memory.append(server.memory_bytes() / _MIB)
                time.sleep(min(5.0, 6 * minutes))
        after = server.memory_bytes() / _MIB
        again = loaded(server.address, bench.clips, bench.text, MANY, seconds)
    settled = memory[len(memory) // 10 :]
    fifth = max(1, len(settled) // 5)
    first, final = statistics.median(settled[:fifth]), statistics.median(settled[-fifth:])
    middle = statistics.median(settled)
    apart = max(abs(one - middle) for one in settled) / middle
    last = sorted(crowd.took_s)[int(0.99 * (len(crowd.took_s) - 1))]
    print(f"{CROWD} clients for {minutes:g} minutes")
    print(f"  {len(crowd.took_s)} answers, others by status: {crowd.others or 'none'} (goal: 429)")
    many = statistics.mean([before.per_s, again.per_s])
    print(f"  {crowd.per_s / many:.2f} of the throughput of {MANY} (goal {GOAL_CROWD}): "
          f"{crowd.per_s:.2f} clips a second, before it {before.per_s:.2f}, after it "
          f"{again.per_s:.2f}")  # fmt: skip
    print(f"  half within {statistics.median(crowd.took_s):.1f} s, 99 % within {last:.1f} s")
    print(f"  memory: {middle:.0f} MiB, ± {apart:.1%} (goal {GOAL_FLAT:.0%}), first "
          f"{first:.0f}, last {final:.0f}, {after:.0f} after")  # fmt: skip


def swaps(bench: Bench, count: int) -> None:
    store = bench.folder / "store"
    add_release(store)
    clip = (_TESTS / "data" / "speech" / "03.ogg").read_bytes()
    with (
        served(bench.ours(store, watch_s=0.5), bench.folder) as server,
        httpx.Client(base_url=server.address, timeout=60) as client,
        asking(server.address, [clip], "Klockan är halv nio.", 8) as load,
    ):
        took_s = []
        for number in range(2, count + 2):
            add_release(store, content=str(number))
            began_s = time.monotonic()
            while client.get("/health").json()["release"] != f"release-{number}":
                time.sleep(0.05)
            took_s.append(time.monotonic() - began_s)
    print(f"{count} swaps under the load of 8 clients: {len(load.took_s)} answers by "
          f"{len(load.releases)} releases")  # fmt: skip
    print(f"  failed: {load.failed + load.others.get(429, 0)} (goal 0)")
    print(f"  a new release answered after {statistics.median(took_s):.1f} s")


def kill(bench: Bench, hours: float) -> None:
    with (
        served(bench.ours(bench.models["dynamic"]), bench.folder) as server,
        httpx.Client(base_url=server.address, timeout=600) as client,
    ):
        server.until_idle()
        answer = client.post("/jobs", files={"file": _recording(bench.clips, hours)})
        path = f"/jobs/{answer.json()['token']}"

        def job() -> dict:
            return client.get(path).raise_for_status().json()

        while (found := job())["reached_s"] < 1800 * hours:
            if found["state"] in ("failed", "cancelled", "done"):
                raise RuntimeError(f"the job has ended early: {found['error']}")
            time.sleep(0.2)
        (pid, *_) = server.children("writing_process")
        os.kill(pid, 9)
        killed_s, kept = time.monotonic(), job()["segments"]
        next_s, refused = _next_answer(client, bench)
        while len((found := job())["segments"]) <= len(kept) and found["state"] == "writing":
            time.sleep(0.05)
        went_on_s = time.monotonic() - killed_s
        while job()["state"] == "writing":
            time.sleep(0.5)
        done = job()
    starts_s = [one["start_s"] for one in done["segments"]]
    whole = starts_s == sorted(set(starts_s)) and len(starts_s) == round(3600 * hours / CLIP_S)
    print(f"kill -9 halfway through {60 * hours:g} minutes of audio")
    print(f"  the job: {done['state']}, {'whole' if whole else 'NOT WHOLE'}, what was written "
          f"{'stands' if done['segments'][: len(kept)] == kept else 'HAS CHANGED'}, went on after "
          f"{went_on_s:.1f} s")  # fmt: skip
    print(f"  the next request was answered after {next_s:.1f} s (goal {GOAL_NEXT_S}), refused "
          f"before: {refused}")  # fmt: skip


def _next_answer(client: httpx.Client, bench: Bench) -> tuple[float, int]:
    """Seconds until a request is served, and how often it was refused before."""
    began_s = time.monotonic()
    for refused in itertools.count():
        if ask(client, bench.clips[0])[0] == 200:
            return time.monotonic() - began_s, refused
        time.sleep(0.2)
    raise AssertionError


def _recording(clips: Sequence[bytes], hours: float) -> bytes:
    """The clips again and again, each with a pause instead of its last second."""
    out, pause = io.BytesIO(), np.zeros(audio.SAMPLE_RATE, np.float32)
    spoken = [audio.decode(clip).samples[: -len(pause)] for clip in clips]
    with soundfile.SoundFile(out, "w", audio.SAMPLE_RATE, 1, "PCM_16", format="FLAC") as file:
        for number in range(round(3600 * hours / CLIP_S)):
            file.write(np.concatenate([spoken[number % len(spoken)], pause]))
    return out.getvalue()


def start(bench: Bench, size: str) -> None:
    print("start-up to the first answer, converted before")
    for name, model, text in (
        (f"{size} size", bench.models["dynamic"], bench.text), ("bundled", "bundled", None),
    ):  # fmt: skip
        for turn in ("first", "again"):
            began_s = time.monotonic()
            with served(bench.ours(model), bench.folder) as server:
                with httpx.Client(base_url=server.address, timeout=60) as client:
                    shown_s = time.monotonic()
                    client.get("/").raise_for_status()
                    page_s = time.monotonic() - shown_s
                    _, answer = ask(client, bench.clips[0])
                    if answer is None or text not in (None, answer.json()["text"]):
                        raise RuntimeError("the first answer is wrong")
                print(f"  {name}, {turn}: {time.monotonic() - began_s:.1f} s, of which "
                      f"{server.started_s:.1f} s until it listened; its page's first answer "
                      f"{page_s:.2f} s")  # fmt: skip


def page(bench: Bench) -> None:
    from playwright.sync_api import sync_playwright

    visits: dict[str, list[float]] = {"never seen": [], "seen before": []}
    with served(bench.ours("bundled"), bench.folder) as server, sync_playwright() as playwright:
        server.until_idle()
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(VISITORS):
            visitor = chromium.new_context()
            for took_s in visits.values():
                began_s = time.monotonic()
                shown = visitor.new_page()
                shown.goto(server.address)
                shown.wait_for_selector("[data-record]:visible:enabled")
                took_s.append(time.monotonic() - began_s)
                shown.close()
            visitor.close()
        chromium.close()
    print(f"the page until one can record, {VISITORS} visitors (goal {GOAL_PAGE_S} s)")
    for name, took_s in visits.items():
        first, median, most = took_s[0], statistics.median(took_s), max(took_s)
        print(f"  {name}: the first {first:.2f} s, half within {median:.2f} s, all {most:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure serving.")
    parser.add_argument("--size", default="small")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement of speed")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10.0, help="that 100 clients ask")
    parser.add_argument("--hour", type=float, default=1.0, help="hours of the long recording")
    parser.add_argument("--swaps", type=int, default=20)
    parts = ["speed", "endure", "swaps", "kill", "start", "page"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["MODERSMAL_CACHE"] = str(folder / "cache")
        models = {context: folder / f"model-{context}" for context in ("dynamic", "full")}
        text = ""
        for context, place in models.items():
            text = write_model(options.size, context, place)
            cached_ctranslate2(place, "int8")
        bench = Bench(folder, models, text, speech_clips())
        print(f"{options.size} size, int8, {decoding_cores()} cores, {TOKENS} tokens a clip of "
              f"{CLIP_S:g} s", flush=True)  # fmt: skip
        if "speed" in options.only:
            speed(bench, options.seconds, options.rounds)
        if "endure" in options.only:
            endure(bench, options.seconds, options.minutes)
        if "swaps" in options.only:
            swaps(bench, options.swaps)
        if "kill" in options.only:
            kill(bench, options.hour)
        if "start" in options.only:
            start(bench, options.size)
        if "page" in options.only:
            page(bench)


if __name__ == "__main__":
    if sys.argv[1:2] == ["reference"]:
        reference(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
