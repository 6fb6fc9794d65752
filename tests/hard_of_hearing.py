"""A team's server folder, store and recipe, with a first release that is hard of hearing."""

import json
import shutil
from csv import DictReader
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from modersmal import store
from modersmal.audio import decode
from modersmal.config import load_recipe
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.correction import Correction, Terms, split_of
from modersmal.corpus.corrections.voices import Voices
from modersmal.database import Database
from modersmal.improve.attempt import Attempt, Attempts, Measured
from modersmal.release.release import release
from modersmal.run import prepare_here, train_here
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote

SPEECH = Path(__file__).parent / "data" / "speech"
OLD = {"train": range(8), "dev": range(8, 10), "test": range(10, 13)}
CORRECTED = {"train": range(13, 19), "dev": range(19, 20), "test": range(20, 24)}
TERMS = Terms("To write Swedish better.", "My corrections may be learned from.", 365)

RECIPE = """\
language = "sv"
model = "bundled"
store = "store"
name = "sv"

[data]
sources = ["source/clips.jsonl"]
workers = 1

[train]
max_steps = 2
batch_s = 10.0
save_every = 2
evaluate_every = 2
device = "cpu"
learning_rate = 1e-6
packed_share = 0.0
full_share = 0.0
loader_workers = 0

[release]
formats = ["hf"]
average_last = 0
interpolate = []
golden_clips = 2

[serve]
folder = "serve"

[serve.corrections]
purpose = "To write Swedish better."
consent = "My corrections may be learned from."
retention_days = 365

[improve]
min_corrections = 3
min_set_aside = 2
start = "base"
"""


def texts() -> dict[int, str]:
    with (SPEECH / "texts.tsv").open() as file:
        return {int(row["id"]): row["text"] for row in DictReader(file, delimiter="\t")}


def write_recipe(folder: Path, /, **changes: str) -> Path:
    """The recipe; `changes` are keys that end in another value there."""
    lines = RECIPE
    for key, value in changes.items():
        before = next(line for line in RECIPE.splitlines() if line.startswith(f"{key} = "))
        lines = lines.replace(before, f"{key} = {value}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(lines)
    return folder / "recipe.toml"


def write_store(recipe: Path) -> None:
    """A corpus, a run, and release 1, whose model was damaged before it was released."""
    _write_clips(recipe.parent / "source")
    loaded = load_recipe(recipe)
    prepare_here(loaded)
    trained = train_here(loaded)
    _damage(trained.run)
    release(trained.run, loaded.store)


def write_releases(recipe: Path) -> None:
    """Two releases that hold nothing; the first is the latest."""
    place = Releases.open(load_recipe(recipe).store)
    for number in (1, 2):
        draft = recipe.parent / f"draft-{number}"
        store.write_json(draft / "release.json", {"content": f"model {number}"})
        place.add(draft, lambda deployed: deployed is None)


def write_attempt(recipe: Path, **changes: Any) -> Attempt:
    """An improvement that waits: release 2 against release 1, of two corrections."""
    attempts = Attempts(Remote.open(load_recipe(recipe).store))
    found = Measured(1, "wer", 0.312, 0.248, -0.064, -0.101, -0.021, 40)
    begun = attempts.begin("sv", 1, 1000.0)
    about: dict[str, Any] = {"state": "waiting", "release": 2, "measured": found}
    return attempts.save(replace(begun, corpus="a hash", corrections=24, **about | changes))


def open_collection(recipe: Path) -> Collection:
    """The corrections of the recipe's server."""
    folder = Path(load_recipe(recipe).serve.folder)
    book = Book(Database.open(f"sqlite:///{folder / 'modersmal.db'}"))
    book.note_voices(folder / "corrections")
    return Collection(book, Voices(folder / "corrections"))


def correct(collection: Collection, split: str, numbers: range, **values: Any) -> list[Correction]:
    """Corrections of what is said in the clips, each of another recording, accepted now."""
    key, kept = None, []
    for number in numbers:
        recording = next(
            name for name in map(f"{number}-{{}}".format, range(10**6)) if split_of(name) == split
        )
        key = collection.book.agree(recording, TERMS, "mine", "consent", key)
        samples = decode(SPEECH / f"{number:02d}.ogg").samples
        duration_s, now_s = len(samples) / 16_000, collection.book.now()
        about: dict[str, Any] = {
            "id": f"{number:032x}", "person_id": collection.book.person(key),
            "recording": recording, "segment": "s1", "segment_version": 2, "start_s": 0.0,
            "end_s": duration_s, "duration_s": duration_s, "language": "sv",
            "hypothesis": "Va?", "text": texts()[number], "release": "release-1",
            "probability": 0.4, "voice": "mine", "ground": "consent",
            "consent_version": TERMS.version, "state": "accepted", "split": split,
            "created_s": now_s, "changed_s": now_s, "expires_s": now_s + 1e6,
            "reviewed_s": now_s, "reviewer": "bo",
        }  # fmt: skip
        one = Correction(**about | values)
        collection.settle(recording, [one], [], {one.id: samples})
        kept.append(one)
    return kept


def correct_all(collection: Collection) -> None:
    for split, numbers in CORRECTED.items():
        correct(collection, split, numbers)


def _write_clips(folder: Path) -> None:
    known = texts()
    rows = [
        {"audio": f"{number:02d}.ogg", "text": known[number], "split": split,
         "speaker": f"{split}-{number % 3}"}
        for split, numbers in OLD.items() for number in numbers
    ]  # fmt: skip
    shutil.copytree(SPEECH, folder)
    (folder / "clips.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")


def _damage(run: Path) -> None:
    """Make what training left worse, and hide how it came to be."""
    shutil.rmtree(run / "checkpoints")
    path = run / "model" / "model.safetensors"
    weights = load_file(path)
    weights["model.decoder.layers.1.encoder_attn.out_proj.weight"] *= 0.0
    save_file(weights, path, {"format": "pt"})
