"""Datasets on the Hub, from a real Hub on loopback: streamed as they are, one commit, no copy."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem, constants
from making import clip, contents, rejected, simple_release, write_clips

from dataset_hub import COMMIT, DatasetHub, serving
from modersmal.config import DataConfig
from modersmal.corpus import plan
from modersmal.corpus.prepare import prepare
from modersmal.corpus.sources import open_source
from modersmal.errors import CorpusError, HubError, ModersmalError
from modersmal.offline import staying_offline

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def hub():
    with serving(DatasetHub({})) as served:
        yield served


@pytest.fixture(autouse=True)
def at_the_hub(hub, tmp_path, monkeypatch):
    """What HF_ENDPOINT and HF_HOME set at import, for this process."""
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home" / "datasets")
    HfFileSystem.clear_instance_cache()
    hub.repos, hub.head, hub.seen, hub.served, hub.cuts = {}, "", [], {}, 0


def environment(hub, tmp_path):
    """The same for a process of its own."""
    return os.environ | {
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "",
    }  # fmt: skip


def table(seeds, features=None, **columns):
    """Rows with a clip, a sentence and a speaker each; `columns` replace or add, None removes."""
    values = {
        "audio": [{"bytes": clip(seed, 0.5), "path": f"{seed}.wav"} for seed in seeds],
        "sentence": [f"Mening {seed} här." for seed in seeds],
        "speaker_id": [f"s{seed}" for seed in seeds],
    } | columns
    made = pa.table({name: value for name, value in values.items() if value is not None})
    if features:
        about = json.dumps({"info": {"features": features}})
        made = made.replace_schema_metadata({"huggingface": about})
    return made


def write_dataset(folder, files, card="license: cc-by-4.0", **columns):
    """Parquet files by name; each is a range of seeds, or a table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seeds in files.items():
        rows = seeds if isinstance(seeds, pa.Table) else table(seeds, **columns)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / name, row_group_size=4)
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    return folder


def parquet(split, index=0, count=1):
    return f"data/{split}-{index:05d}-of-{count:05d}.parquet"


@pytest.fixture
def usual(hub, tmp_path):
    """Two files of train, one of validation, one of test."""
    files = {
        parquet("train", 0, 2): range(7), parquet("train", 1, 2): range(7, 12),
        parquet("validation"): range(12, 15), parquet("test"): range(15, 18),
    }  # fmt: skip
    hub.repos["some/speech"] = write_dataset(tmp_path / "repo", files)
    return "hf:some/speech"


def make(source, to, workers=1, **settings):
    return prepare([source], to, data=DataConfig(workers=workers, **settings)).corpus


# --- What comes ----------------------------------------------------------------------------------


def test_clips_come_as_they_are_with_what_is_known_of_them(usual, tmp_path):
    corpus = make(usual, tmp_path / "corpus")
    assert {name: len(corpus.split(name)) for name in corpus.splits} == {
        "train": 12, "dev": 3, "test": 3,
    }  # fmt: skip
    train = corpus.split("train")
    assert train.audio_bytes([0, 11]) == [clip(0, 0.5), clip(11, 0.5)]
    assert train.texts[7] == "Mening 7 här."
    assert train.speakers[7] == "s7"
    assert train.ids[7] == "some/speech/train/7"
    assert corpus.info["sources"] == [
        {
            "name": "some/speech",
            "kind": "hub",
            "address": "hf:some/speech",
            "revision": COMMIT,
            "licence": "CC-BY-4.0",
            "licence_url": "https://creativecommons.org/licenses/by/4.0/",
            "redistributable": True,
            "rows": 18,
        }
    ]
    assert corpus.verify() is None


def test_other_columns_are_kept_classes_by_name(hub, tmp_path):
    features = {
        "audio": {"_type": "Audio"},
        "sentence": {"dtype": "string", "_type": "Value"},
        "speaker_id": {"dtype": "int32", "_type": "Value"},
        "gender": {"names": ["female", "male"], "_type": "ClassLabel"},
        "age": {"dtype": "int64", "_type": "Value"},
        "words": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    }
    rows = table(
        range(4), features, speaker_id=pa.array([1, 1, 2, None], pa.int32()),
        gender=[1, 0, None, 1], age=[30, None, 50, 60], words=[["a"]] * 4,
    )  # fmt: skip
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", {parquet("test"): rows})
    test = make("hf:a/b", tmp_path / "corpus").split("test")
    assert test.column("gender") == ["male", "female", None, "male"]
    assert test.column("age") == ["30", None, "50", "60"]
    assert test.speakers == ["1", "1", "2", None]


def test_the_result_is_the_same_with_any_number_of_workers(usual, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_ROWS", 3)
    make(usual, tmp_path / "one", workers=1)
    make(usual, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(list((tmp_path / "one").glob("train-*.parquet"))) == 4


def test_texts_are_read_without_the_audio_and_nothing_stays_in_a_cache(hub, tmp_path):
    heavy = range(40)
    audio = [{"bytes": clip(seed, 10.0), "path": "x.wav"} for seed in heavy]
    files = {parquet("train"): table(heavy, audio=audio), parquet("test"): range(50, 53)}
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", files)
    size = (tmp_path / "repo" / parquet("train")).stat().st_size
    assert size > 12e6
    source = open_source("hf:a/b", "sv")
    rows = list(source.rows())
    assert len(rows) == 43
    assert hub.bytes_of("train-00000-of-00001.parquet") < size
    assert 280_000 < rows[0].size < 340_000  # so that shards stay small
    list(source.clips([(0, 1 << 60)]))
    stayed = sum(file.stat().st_size for file in (tmp_path / "home").rglob("*") if file.is_file())
    assert stayed < 10_000


def test_a_corpus_of_ours_can_be_prepared_from_the_hub(hub, tmp_path):
    release = simple_release(tmp_path / "cv" / "sv-SE", 6, 2, 2)
    first = make(str(release), tmp_path / "first")
    shutil.copytree(first.path, tmp_path / "repo" / "data")
    hub.repos["me/corpus"] = tmp_path / "repo"
    second = make("hf:me/corpus", tmp_path / "second")
    for split in ("train", "dev", "test"):
        for column in ("text", "speaker", "age", "duration"):
            assert second.split(split).column(column) == first.split(split).column(column)
        every = range(len(first.split(split)))
        assert second.split(split).audio_bytes(every) == first.split(split).audio_bytes(every)
    assert second.info["sources"][0]["licence"] is None


def test_a_folder_of_audio_on_the_hub(hub, tmp_path):
    repo = tmp_path / "repo"
    for split, seeds in (("train", range(4)), ("test", range(4, 6))):
        write_clips(repo / split, {f"{seed}.wav": clip(seed) for seed in seeds})
        lines = [f"{seed}.wav,Mening {seed} här." for seed in seeds]
        (repo / split / "metadata.csv").write_text("\n".join(["file_name,transcription", *lines]))
    hub.repos["a/folder"] = repo
    corpus = make("hf:a/folder", tmp_path / "corpus")
    assert corpus.split("train").audio_bytes(range(4)) == [clip(seed) for seed in range(4)]
    assert corpus.split("test").texts == ["Mening 4 här.", "Mening 5 här."]


def test_a_dataset_of_tar_files(hub, tmp_path):
    repo = tmp_path / "repo"
    for split, seeds in (("train", range(4)), ("test", range(4, 6))):
        pieces = tmp_path / split
        for seed in seeds:
            texts = {f"{seed}.wav": clip(seed), f"{seed}.txt": f"Mening {seed} här.".encode()}
            write_clips(pieces, texts)
        (repo / split).mkdir(parents=True)
        with tarfile.open(repo / split / f"{split}-0.tar", "w") as tar:
            for piece in sorted(pieces.iterdir()):
                tar.add(piece, piece.name)
    hub.repos["a/tars"] = repo
    corpus = make("hf:a/tars", tmp_path / "corpus")
    assert corpus.split("train").audio_bytes(range(4)) == [clip(seed) for seed in range(4)]
    assert corpus.split("test").texts == ["Mening 4 här.", "Mening 5 här."]


def test_a_row_cannot_point_elsewhere(hub, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(clip(99))
    audio = [
        {"bytes": clip(0), "path": "0.wav"},
        {"bytes": None, "path": str(secret)},
        {"bytes": None, "path": f"file://{secret}"},
        {"bytes": None, "path": f"{hub.endpoint}/datasets/a/b/resolve/main/README.md"},
        {"bytes": None, "path": f"hf://datasets/other/set@{COMMIT}/x.wav"},
        {"bytes": None, "path": f"file://{secret}::hf://datasets/a/b@{COMMIT}/README.md"},
        {"bytes": None, "path": f"hf://datasets/a/b@{COMMIT}/../../../other/set/x.wav"},
    ]
    files = {parquet("test"): table(range(7), audio=audio)}
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", files)
    corpus = make("hf:a/b", tmp_path / "corpus")
    assert len(corpus.split("test")) == 1
    assert [entry["reasons"] for entry in rejected(corpus.path)] == [["empty"]] * 6


# --- Splits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "read"),
    [
        (["train", "validation", "test"], {"train": 3, "dev": 3, "test": 3}),
        (["train", "test", "validated", "other"], {"train": 3, "test": 3}),
        (["train_clean", "train_other", "dev", "test_other"], {"train": 6, "dev": 3, "test": 3}),
        (["test"], {"test": 3}),
    ],
)
def test_splits_are_found_by_their_names(hub, tmp_path, there, read):
    files = {parquet(split): range(3 * n, 3 * n + 3) for n, split in enumerate(there)}
    configs = ["configs:", "- config_name: default", "  data_files:"]
    configs += [f"  - split: {split}\n    path: {parquet(split)}" for split in there]
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", files, card="\n".join(configs))
    corpus = make("hf:a/b", tmp_path / "corpus")
    assert {name: len(corpus.split(name)) for name in corpus.splits} == read


def test_train_alone_is_dealt_by_speaker(hub, tmp_path):
    speakers = [f"s{seed % 20}" for seed in range(60)]
    files = {parquet("train"): table(range(60), speaker_id=speakers)}
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", files)
    corpus = make("hf:a/b", tmp_path / "corpus", dev_share=0.2, test_share=0.2)
    heard = {name: set(corpus.split(name).speakers) for name in corpus.splits}
    assert set(heard) == {"train", "dev", "test"}
    assert sum(len(speakers) for speakers in heard.values()) == 20


# --- Interruption --------------------------------------------------------------------------------


def test_connections_that_break_are_taken_up_again(usual, hub, tmp_path):
    expected = make(usual, tmp_path / "expected")
    HfFileSystem.clear_instance_cache()
    hub.cut_after, hub.cuts = 5000, 2
    corpus = make(usual, tmp_path / "corpus")
    assert hub.cuts == 0
    assert contents(corpus.path) == contents(expected.path)


def killed(source, to, hub, tmp_path, count):
    """Prepare in a process of its own, which is killed when `count` shards were handed out."""
    done = subprocess.run(
        [sys.executable, str(HERE / "interrupted.py"), "task", str(count), source, str(to), "1"],
        env=environment(hub, tmp_path), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_restart_reads_the_commit_it_began_with_and_only_what_is_missing(
    hub, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "SHARD_ROWS", 5)
    old, new = "1" * 40, "2" * 40
    files = {parquet("train", n, 3): range(5 * n, 5 * n + 5) for n in range(3)}
    files[parquet("test")] = range(50, 55)
    write_dataset(tmp_path / "repo" / old, files)
    write_dataset(tmp_path / "repo" / new, files | {parquet("train", 1, 3): range(90, 99)})
    hub.repos["a/b"], hub.head = tmp_path / "repo", old
    expected = make("hf:a/b", tmp_path / "expected")

    to = tmp_path / "corpus"
    killed("hf:a/b", to, hub, tmp_path, 2)
    assert len(list((to / ".prepare").glob("outcome-*.json"))) == 2
    hub.head = new
    HfFileSystem.clear_instance_cache()
    hub.served.clear()
    corpus = make("hf:a/b", to)
    assert corpus.info["sources"][0]["revision"] == old
    assert contents(to) == contents(expected.path)
    assert hub.bytes_of(parquet("train", 2, 3)) > hub.bytes_of(parquet("train", 1, 3))

    # A new corpus is of the new commit, and one that names its commit is of that.
    assert make("hf:a/b", tmp_path / "newer").info["sources"][0]["revision"] == new
    HfFileSystem.clear_instance_cache()
    pinned = make(f"hf:a/b@{old}", tmp_path / "pinned")
    assert pinned.info["sources"][0]["revision"] == old


def test_a_finished_corpus_needs_no_network(usual, hub, tmp_path, monkeypatch):
    corpus = make(usual, tmp_path / "corpus")
    hub.seen.clear()
    assert make(usual, tmp_path / "corpus") == corpus
    with staying_offline():
        assert make(usual, tmp_path / "corpus") == corpus
    assert hub.seen == []
    with pytest.raises(CorpusError, match="other sources or settings"):
        make("hf:some/other", tmp_path / "corpus")
    manifest = tmp_path / "gone.jsonl"
    with pytest.raises(CorpusError, match="there is no source"):
        prepare(["hf:some/other", str(manifest)], tmp_path / "corpus", data=DataConfig(workers=1))


# --- What is said --------------------------------------------------------------------------------


def ask(source, to):
    with pytest.raises(ModersmalError) as raised:
        make(source, to)
    assert "\n" not in str(raised.value)
    return type(raised.value), str(raised.value)


def test_what_the_hub_refuses_is_said_with_the_page_to_visit(usual, hub, tmp_path):
    hub.repos["some/gated"] = 403
    for source, kind, words in [
        ("hf:some/missing", HubError, "the Hub has no dataset some/missing, or it is private"),
        ("hf:some/gated", HubError, f"terms at {hub.endpoint}/datasets/some/gated and log in"),
        ("hf:some/speech@v9", HubError, "some/speech has no revision v9"),
        ("hf:some/speech:nn", CorpusError, "BuilderConfig 'nn' not found. Available: ['default']"),
        ("hf:speech", CorpusError, "'hf:speech' is not hf:OWNER/NAME"),
    ]:
        said = ask(source, tmp_path / "corpus")
        assert said[0] is kind
        assert words in said[1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"sentence": None}, "has no column for the text (text, sentence,"),
        ({"audio": None}, "has no column of encoded audio; its columns are sentence, speaker_id"),
        ({"audio": [[0.1, 0.2]] * 3}, "has no column of encoded audio"),
    ],
)
def test_missing_columns_are_named(hub, tmp_path, columns, words):
    rows = table(range(3), **columns)
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", {parquet("test"): rows})
    assert words in ask("hf:a/b", tmp_path / "corpus")[1]


def test_several_configurations_are_named(hub, tmp_path):
    card = "configs:\n- config_name: sv\n  data_files: sv.parquet\n" \
        "- config_name: fi\n  data_files: fi.parquet"  # fmt: skip
    files = {"sv.parquet": range(3), "fi.parquet": range(3, 7)}
    hub.repos["a/b"] = write_dataset(tmp_path / "repo", files, card=card)
    assert "available configs: ['sv', 'fi']" in ask("hf:a/b", tmp_path / "corpus")[1]
    corpus = make("hf:a/b:fi", tmp_path / "corpus", test_share=0, dev_share=0)
    assert len(corpus.split("train")) == 4
    assert corpus.split("train").ids[0] == "a/b:fi/train/0"


def test_offline_and_without_the_package_it_says_what_to_do(usual, tmp_path, monkeypatch):
    with staying_offline():
        assert "`modersmal fetch`" in ask(usual, tmp_path / "corpus")[1]
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'modersmal[hf]'" in ask(usual, tmp_path / "corpus")[1]


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    kind, said = ask("hf:a/b", tmp_path / "corpus")
    assert kind is HubError
    assert "hf:a/b does not come from the Hub" in said
