"""A server's database and a store in which Anna and Bo are remembered in every way there is."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.ipc
import pyarrow.parquet as pq
from collecting import TERMS, correction
from making import simple_release, speech, write_manifest

from modersmal import store
from modersmal.corpus import Corpus
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.voices import Voices
from modersmal.corpus.lineage import learned_from
from modersmal.corpus.prepare import prepare
from modersmal.database import Database
from modersmal.evaluate.evaluate import evaluate
from modersmal.store.releases import Releases

SPLITS = ("train", "train", "dev", "test")
MARKS = {"anna": "kvastfeningen", "bo": "strömkarlen"}


@dataclass(frozen=True)
class World:
    """`store` is the store, `database` the address of the server's, `folder` holds both."""

    folder: Path
    keys: dict[str, str]
    clips: dict[str, dict[str, bytes]]  # of each person, by id

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'serve' / 'modersmal.db'}"

    @property
    def voices(self) -> Path:
        return self.folder / "serve" / "corrections"

    def copied(self, to: Path) -> "World":
        """The same elsewhere, to be written to."""
        shutil.copytree(self.folder, to)
        database = Database.open(f"sqlite:///{to / 'serve' / 'modersmal.db'}")
        Book(database).note_voices(to / "serve" / "corrections")
        database.close()
        return World(to, self.keys, self.clips)

    def ids(self, person: str) -> list[str]:
        return list(self.clips[person])


def make_world(folder: Path) -> World:
    """Collect, prepare, score, and release."""
    world = World(folder, {}, {})
    _collect(world)
    corpus = folder / "store" / "corpora" / "sv"
    prepare(_sources(world), corpus, language="sv")
    store.write_manifest(corpus)
    run = folder / "store" / "runs" / "sv"
    store.write_json(run / "recipe.json", {"recipe": {"corpus": None}, "identity": {}})
    _score(world, corpus, run / "scores" / "test")
    _begin_release(world, run)
    _release(world, corpus)
    _queue(run)
    _halve(world)
    _leave(world, corpus)
    return world


def found(folder: Path, needles: dict[str, bytes]) -> dict[str, list[str]]:
    """In which files of a folder each needle is; what is compressed in them is looked at, too."""
    hits: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes() + _inside(path)
            for name, needle in needles.items():
                if needle in content or needle in str(path).encode():
                    hits.setdefault(name, []).append(str(path.relative_to(folder)))
    return hits


def needles(world: World, person: str) -> dict[str, bytes]:
    """What must not be found: what was said, its ids, and a piece of the audio of each."""
    wanted = {"text": MARKS[person].encode()}
    for number, (name, audio) in enumerate(world.clips[person].items()):
        wanted[f"id {number}"] = name.encode()
        wanted[f"audio {number}"] = audio[len(audio) // 2 :][:64]
    return wanted


def _collect(world: World) -> None:
    database = Database.open(world.database)
    book = Book(database)
    collection = Collection(book, Voices(world.voices))
    book.note_voices(world.voices)
    seed = 100
    for person, mark in MARKS.items():
        for number, split in enumerate(SPLITS):
            job = f"{person}-{number}"
            key = book.agree(job, TERMS, "mine", "consent", world.keys.get(person))
            world.keys[person] = key
            seed += 1
            samples = speech(seed, 0.7)
            one = correction(
                job, "s1", str(book.person(key)), text=f"{mark} {number} sa hon", split=split,
                expires_s=4e9, state="accepted",
            )  # fmt: skip
            assert collection.settle(job, [one], [], {one.id: samples})
            audio = collection.voices.path(one.id).read_bytes()
            world.clips.setdefault(person, {})[one.id] = audio
    database.close()


def _sources(world: World) -> list[str]:
    database = Database.open(world.database)
    rows = [
        {"audio": f"{one.id}.flac", "text": one.text, "split": one.split,
         "speaker": one.person_id, "release": one.release}
        for one in Book(database).all()
    ]  # fmt: skip
    database.close()
    folder = world.folder / "told" / "corrections"
    shutil.copytree(world.voices, folder)
    manifest = write_manifest(folder, rows)
    others = simple_release(world.folder / "told" / "others" / "sv-SE", train=6, dev=2, test=2)
    return [str(others), str(manifest)]


def _score(world: World, corpus: Path, output: Path) -> None:
    split = Corpus.open(corpus).split("test")
    written = world.folder / "told" / "hypotheses.jsonl"
    rows = [
        {"id": one, "text": f"{text} nog"} for one, text in zip(split.ids, split.texts, strict=True)
    ]
    written.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    evaluate("rival", [corpus], split="test", hypotheses=written, output=output)
    store.write_manifest(output)


def _begin_release(world: World, run: Path) -> None:
    """As a release that was killed leaves it: what its model wrote, not of which clip."""
    texts = [f"{mark} hörs" for mark in MARKS.values()]
    store.write_json(run / ".release" / "done.json", {"done": {"expected": {"texts": texts}}})
    shutil.copytree(run / "scores" / "test", run / ".release" / "draft" / "scores")


def _release(world: World, corpus: Path) -> None:
    for number in (1, 2):
        draft = world.folder / f"draft-{number}"
        (scored,) = (world.store / "runs" / "sv" / "scores" / "test").glob("*.jsonl")
        clip, text = next(
            (row["id"], row["reference"])
            for row in map(json.loads, scored.read_text("utf-8").splitlines())
            if MARKS["anna"] in row["reference"]
        )
        failure = f"clip {clip}: ggml wrote '{text}', the model wrote '{text}; ja'"
        facts = {
            "content": f"model {number}",
            "refused": [{"format": "ggml-q5_0", "failures": [failure, "it is slow"]}],
            "learned_from": learned_from(Corpus.open(corpus)) if number == 2 else [],
        }
        store.write_json(draft / "release.json", facts)
        store.write_bytes(draft / "README.md", f"# Card\n\n- `ggml`: {failure}\n- Good\n".encode())
        store.write_bytes(draft / "model.safetensors", os.urandom(500))
        (draft / "scores").mkdir()
        shutil.copyfile(scored, draft / "scores" / "model.jsonl")
        assert Releases.open(str(world.store)).add(draft, lambda deployed: True) == number
        shutil.rmtree(draft)


def _queue(run: Path) -> None:
    """A report that waits to be uploaded, as the queue has it: links to what is in the run."""
    entry = run / ".uploads" / "00000001~runs%2Fsv%2Fscores%2Ftest"
    shutil.copytree(run / "scores" / "test", entry, copy_function=os.link)


def _halve(world: World) -> None:
    """A `prepare` that was killed when half of its shards were written."""
    told = world.folder / "told"
    sources = [str(told / "corrections" / "manifest.jsonl"), str(told / "others" / "sv-SE")]
    to = world.store / "corpora" / "half"
    code = (
        "import sys; from pathlib import Path; from modersmal.config import DataConfig\n"
        "from modersmal.corpus.prepare import prepare\n"
        "prepare(sys.argv[2:], Path(sys.argv[1]), data=DataConfig(workers=1))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(to), *sources],
        env=os.environ | {"MODERSMAL_FAULT": "file.before-rename:8"},
        check=False,
    )
    assert killed.returncode == -9
    assert list(to.glob("*.parquet"))
    shutil.rmtree(told)


def _leave(world: World, corpus: Path) -> None:
    """A rehearsal that was kept, with names of its own, and a corpus that was half deleted."""
    rehearsal = world.store / "rehearsals" / "sv-1234abcd"
    shutil.copytree(corpus, rehearsal / "corpus")
    row = {"id": "dev-3", "reference": f"{MARKS['anna']} 2 sa hon"}
    store.write_bytes(rehearsal / "score" / "dev.jsonl", json.dumps(row).encode())
    gone = world.store / "corpora" / "gone"
    gone.mkdir()
    shutil.copyfile(corpus / "dev-00001.parquet", gone / "dev-00001.parquet")


def _inside(path: Path) -> bytes:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    elif path.suffix == ".arrow":
        table = pyarrow.ipc.open_file(path).read_all()
    else:
        return b""
    columns = [name for name in table.column_names if name != "audio"]
    return repr(table.select(columns).to_pylist()).encode()
