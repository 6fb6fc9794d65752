"""prepare from end to end: sound corpora pass whole, planted faults do not, nothing vanishes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr
from making import (
    HEADER,
    RATE_HZ,
    clip,
    encoded,
    rejected,
    simple_release,
    speech,
    tsv_row,
    write_archive,
    write_clips,
    write_manifest,
    write_release,
)

from modersmal.audio import decode
from modersmal.config import ChecksConfig, DataConfig, TextConfig
from modersmal.corpus.prepare import prepare
from modersmal.errors import CorpusError, LanguageError

SOUND = Path(__file__).parent.parent / "data" / "sound"
ONE = DataConfig(workers=1)


def make(sources, to, **rest):
    rest.setdefault("data", ONE)
    sources = [sources] if isinstance(sources, str | Path) else sources
    return prepare([str(source) for source in sources], to, **rest).corpus


def reasons(corpus):
    return {row["path"]: row["reasons"] for row in rejected(corpus.path)}


# --- Sound corpora -------------------------------------------------------------------------------


def spoken(name):
    return decode(SOUND / f"{name}.opus").samples, (SOUND / f"{name}.txt").read_text("utf-8")


def noisy(samples):
    noise = np.random.default_rng(1).normal(size=len(samples))
    return samples + 0.1 * noise * samples.std() / noise.std() * 3


def telephoned(samples):
    return soxr.resample(soxr.resample(samples, RATE_HZ, 8000), 8000, RATE_HZ)


SOUND_CORPORA = {
    "clean": (["sv-1", "sv-2", "sv-3"], lambda samples: samples),
    "noisy": (["sv-1", "sv-2", "sv-3"], noisy),
    "whispering": (["whisper-1", "whisper-2"], lambda samples: 0.01 * samples),
    "fast": (["fast-1"], lambda samples: samples),
    "telephone": (["sv-1", "sv-2"], telephoned),
    "with long pauses": (["sv-1"], lambda samples: np.pad(samples, (8 * RATE_HZ, 12 * RATE_HZ))),
    "loud": (["sv-2", "sv-3"], lambda samples: 0.998 * samples / np.abs(samples).max()),
    "Japanese": (["ja-1"], lambda samples: samples),
    "Arabic": (["ar-1"], lambda samples: samples),
    "Devanagari": (["hi-1"], lambda samples: samples),
    "Thai": (["th-1"], lambda samples: samples),
    "Tamil": (["ta-1"], lambda samples: samples),
    "Ethiopic": (["am-1"], lambda samples: samples),
}


@pytest.mark.parametrize(("name", "change"), SOUND_CORPORA.values(), ids=SOUND_CORPORA)
def test_sound_corpora_pass_whole(tmp_path, name, change):
    for split in ("train", "dev"):
        for number, one in enumerate(name):
            samples, text = spoken(one)
            shifted = np.pad(change(samples), (0 if split == "train" else 160, 0))
            stem = tmp_path / "source" / split / str(number)
            write_clips(stem.parent, {f"{number}.wav": encoded(shifted)})
            stem.with_suffix(".txt").write_text(text, encoding="utf-8")
    corpus = make(tmp_path / "source", tmp_path / "corpus")
    assert rejected(corpus.path) == []
    assert corpus.info["flagged"] == {}
    assert corpus.split("train").texts == [spoken(one)[1].strip() for one in name]


def test_one_speaker_is_a_corpus(tmp_path):
    write_clips(tmp_path / "source", {f"{n}.wav": clip(n) for n in range(20)})
    rows = [{"audio": f"{n}.wav", "text": f"Mening {n}", "speaker": "anna"} for n in range(20)]
    corpus = make(write_manifest(tmp_path / "source", rows), tmp_path / "corpus")
    assert (corpus.splits, len(corpus.split("train"))) == (("train",), 20)
    assert rejected(corpus.path) == []


# --- Planted faults ------------------------------------------------------------------------------

LONG_TEXT = "räksmörgås " * 100
FAULTS = {
    "text.wav": (b"this is text, not audio\n", "Hej", "unreadable"),
    "cut.flac": (encoded(speech(1), kind="flac")[:60], "Hej", "unreadable"),
    "nothing.wav": (b"", "Hej", "empty"),
    "no-samples.wav": (encoded(np.zeros(0)), "Hej", "empty"),
    "short.wav": (clip(2, 0.15), "Hej", "too-short"),
    "long.wav": (clip(3, 30.5, level=0.5), "En mening som är lång nog för det.", "too-long"),
    "silent.wav": (encoded(np.zeros(RATE_HZ)), "Hej du", "silent"),
    "clipped.wav": (encoded(np.clip(speech(4, level=5.0), -1, 1)), "Hej du", "clipped"),
    "no-text.wav": (clip(5), " … ", "no-text"),
    "too-much.wav": (clip(6, 29.0, level=0.5), LONG_TEXT, "too-many-tokens"),
    "too-fast.wav": (clip(7, 0.5), "Det var en gång en flicka som hette Rödluvan", "too-fast"),
    "too-slow.wav": (clip(8, 20.0, level=0.5), "Hej", "too-slow"),
    "gone.wav": (None, "Hej", "unreadable"),
    "../outside.wav": (clip(9), "Hej", "outside"),
    "link.wav": ("../outside.wav", "Hej", "outside"),
    "/etc/hostname": (None, "Hej", "outside"),
}
KEPT_OUTSIDE_TRAIN = {
    "too-short", "too-long", "silent", "clipped", "too-many-tokens", "too-fast", "too-slow"
}  # fmt: skip


def plant(folder, split):
    rows = []
    for name, (content, text, _) in FAULTS.items():
        if isinstance(content, str):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(folder / content)
        elif content is not None:
            write_clips(folder, {name: content})
        rows.append({"audio": name, "text": text, "split": split})
    write_clips(folder, {"sound.wav": clip(50)})
    rows.append({"audio": "sound.wav", "text": "Hej du", "split": split})
    return write_manifest(folder, rows)


def test_train_lets_no_fault_in(tmp_path):
    corpus = make(plant(tmp_path / "source", "train"), tmp_path / "corpus")
    assert corpus.split("train").ids == ["source/manifest.jsonl/sound.wav"]
    assert reasons(corpus) == {name: [reason] for name, (_, _, reason) in FAULTS.items()}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_dev_and_test_keep_what_can_be_scored_and_flag_it(tmp_path, split):
    corpus = make(plant(tmp_path / "source", split), tmp_path / "corpus")
    kept = corpus.split(split)
    flags = {Path(one).name: flags for one, flags in zip(kept.ids, kept.flags, strict=True)}
    assert flags == {"sound.wav": []} | {
        name: [reason] for name, (_, _, reason) in FAULTS.items() if reason in KEPT_OUTSIDE_TRAIN
    }
    assert reasons(corpus) == {
        name: [reason]
        for name, (_, _, reason) in FAULTS.items()
        if reason not in KEPT_OUTSIDE_TRAIN
    }
    assert corpus.info["flagged"][split] == dict.fromkeys(
        sorted(KEPT_OUTSIDE_TRAIN, key=list(corpus.info["flagged"][split]).index), 1
    )


def test_what_is_rejected_says_which_row_and_why(tmp_path):
    lines = [tsv_row("short.wav", "Hej"), "broken", tsv_row("ok.wav", "Hej du")]
    clips = {"short.wav": clip(1, 0.1), "ok.wav": clip(2)}
    release = write_release(tmp_path / "cv" / "sv-SE", {"train": lines}, clips)
    corpus = make(release, tmp_path / "corpus")
    broken, short = rejected(corpus.path)
    assert short == {
        "source": "cv/sv-SE",
        "where": "train.tsv line 2",
        "path": "short.wav",
        "split": "train",
        "reasons": ["too-short"],
        "detail": "0.1 s, the limit is 0.2",
        "text": "Hej",
    }
    assert (broken["where"], broken["reasons"]) == ("train.tsv line 3", ["broken-row"])


def test_every_row_is_kept_or_accounted_for(tmp_path):
    sources = [
        plant(tmp_path / "a", "train"),
        plant(tmp_path / "b", "dev"),
        simple_release(tmp_path / "cv" / "sv-SE"),
    ]
    corpus = make(sources, tmp_path / "corpus")
    kept = sum(split["clips"] for split in corpus.info["splits"].values())
    counted = sum(sum(by.values()) for by in corpus.info["rejected"].values())
    rows = sum(source["rows"] for source in corpus.info["sources"])
    assert kept + counted == rows == 2 * (len(FAULTS) + 1) + 20
    assert counted == len(rejected(corpus.path))


def test_all_checks_of_a_clip_are_told(tmp_path):
    write_clips(tmp_path, {"a.wav": encoded(np.zeros(1600))})
    manifest = write_manifest(tmp_path, [{"audio": "a.wav", "text": "Hej alla", "split": "train"}])
    corpus = make(manifest, tmp_path / "corpus")
    assert reasons(corpus) == {"a.wav": ["too-short", "silent", "too-fast"]}


def test_the_checks_are_the_recipes(tmp_path):
    release = simple_release(tmp_path / "sv-SE", duration_s=0.6)
    corpus = make(release, tmp_path / "corpus", checks=ChecksConfig(min_duration_s=0.7))
    assert corpus.split("train").ids == []
    assert set(corpus.info["rejected"]) == {"train"}


# --- Duplicates and overlap ----------------------------------------------------------------------


def manifest_of(folder, rows):
    """Rows of (audio seed, text, speaker, split); rows of the same seed share their audio."""
    entries = []
    for number, (seed, text, speaker, split) in enumerate(rows):
        write_clips(folder, {f"{number}.wav": clip(seed)})
        entries.append({"audio": f"{number}.wav", "text": text, "speaker": speaker, "split": split})
    return write_manifest(folder, entries)


def test_train_loses_its_copies_and_the_others_flag_theirs(tmp_path):
    rows = [
        (1, "Ett", "a", "train"),
        (1, "Ett igen", "b", "train"),  # of the first
        (2, "Två", "c", "train"),  # of dev's
        (2, "Två där", "d", "dev"),
        (2, "Två igen", "e", "dev"),  # of dev's first
        (3, "Tre", "f", "dev"),  # of test's
        (3, "Tre där", "g", "test"),
        (4, "Fyra", "h", "train"),
    ]
    corpus = make(manifest_of(tmp_path / "source", rows), tmp_path / "corpus")
    assert reasons(corpus) == {"1.wav": ["duplicate"], "2.wav": ["duplicate"]}
    assert rejected(corpus.path)[0]["detail"] == "the same audio as source/manifest.jsonl/0.wav"
    assert [Path(one).name for one in corpus.split("train").ids] == ["0.wav", "7.wav"]
    assert corpus.split("dev").flags == [[], ["duplicate"], ["duplicate"]]
    assert corpus.split("test").flags == [[]]
    assert corpus.info["flagged"] == {"dev": {"duplicate": 2}}


def test_the_same_row_twice_is_a_duplicate(tmp_path):
    lines = [tsv_row("a.wav", "Hej du"), tsv_row("b.wav", "Hej"), tsv_row("a.wav", "Hej du")]
    clips = {"a.wav": clip(1), "b.wav": clip(2)}
    release = write_release(
        tmp_path / "sv-SE", {"train": lines, "dev": lines[1:2] + lines[1:2]}, clips
    )
    corpus = make(release, tmp_path / "corpus")
    assert [(row["where"], row["reasons"]) for row in rejected(corpus.path)] == [
        ("train.tsv line 3", ["duplicate"]),
        ("train.tsv line 4", ["duplicate"]),
    ]
    ids = [*corpus.split("train").ids, *corpus.split("dev").ids]
    assert len(set(ids)) == len(ids) == 3
    assert ids[2].endswith("b.wav#3")


def test_duplicates_across_splits_are_reported_though_train_lost_them(tmp_path):
    rows = [(1, "Ett", "a", "train"), (1, "Två", "b", "test"), (2, "Tre", "c", "train")]
    corpus = make(manifest_of(tmp_path / "source", rows), tmp_path / "corpus")
    assert corpus.info["overlap"] == [
        {"splits": ["test", "train"], "speakers": 0, "sentences": 0, "duplicates": 1}
    ]


def test_overlap_is_reported_and_removed_on_request(tmp_path):
    rows = [
        (1, "Bara här", "anna", "train"),
        (2, "Samma talare", "bo", "train"),
        (3, "SAMMA MENING.", "cia", "train"),
        (4, "Annan", "bo", "dev"),
        (5, "samma mening", "dan", "test"),
    ]
    manifest = manifest_of(tmp_path / "source", rows)
    corpus = make(manifest, tmp_path / "corpus")
    assert corpus.info["overlap"] == [
        {"splits": ["dev", "train"], "speakers": 1, "sentences": 0, "duplicates": 0},
        {"splits": ["test", "train"], "speakers": 0, "sentences": 1, "duplicates": 0},
    ]
    apart = make(manifest, tmp_path / "apart", data=DataConfig(workers=1, disjoint=True))
    assert apart.split("train").texts == ["Bara här"]
    assert reasons(apart) == {"1.wav": ["speaker-overlap"], "2.wav": ["sentence-overlap"]}
    assert apart.info["overlap"] == []
    assert apart.info["splits"]["train"]["speakers"] == 1


def test_without_splits_growth_moves_no_clip(tmp_path):
    def grown(count):
        rows = [(n, f"Mening {n}", f"speaker {n % 40}", None) for n in range(count)]
        shares = DataConfig(workers=1, dev_share=0.2, test_share=0.2)
        corpus = make(
            manifest_of(tmp_path / f"{count}" / "source", rows), tmp_path / f"c{count}", data=shares
        )
        return {
            one: split for split in corpus.splits for one in corpus.split(split).ids
        }, corpus.info["overlap"]

    before, overlap = grown(60)
    after, _ = grown(90)
    assert set(before.values()) == {"train", "dev", "test"}
    assert overlap == []
    assert {one: after[one] for one in before} == before


# --- What a corpus holds -------------------------------------------------------------------------


def test_a_release_becomes_a_corpus(tmp_path):
    release = simple_release(tmp_path / "cv-corpus-99.0" / "sv-SE")
    corpus = make(release, tmp_path / "corpus")
    assert corpus.splits == ("train", "dev", "test")
    train = corpus.split("train")
    assert len(train) == 12
    first = train.ids[0]
    assert first == "cv-corpus-99.0/sv-SE/common_voice_sv-SE_00000001.wav"
    original = (release / "clips" / "common_voice_sv-SE_00000001.wav").read_bytes()
    assert train.audio_bytes([0]) == [original]
    assert train.durations_s.tolist() == pytest.approx([0.6] * 12)
    assert train.speakers[:2] == ["train-0", "train-1"]
    assert train.column("age") == ["teens"] * 12
    assert set(train.column("split")) == {"train"}
    assert set(train.column("source")) == {"cv-corpus-99.0/sv-SE"}
    assert corpus.info["sources"] == [
        {
            "name": "cv-corpus-99.0/sv-SE",
            "kind": "common-voice",
            "address": None,
            "revision": None,
            "licence": "CC0-1.0",
            "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/",
            "redistributable": True,
            "rows": 20,
        }
    ]
    assert corpus.info["splits"]["train"]["speakers"] == 3
    assert {path.name for path in corpus.path.iterdir()} == {
        "corpus.json", "rejected.jsonl", "train-00000.parquet", "dev-00000.parquet",
        "test-00000.parquet",
    }  # fmt: skip
    corpus.verify()


def test_an_archive_becomes_the_corpus_of_its_folder(tmp_path):
    release = simple_release(tmp_path / "cv-corpus-99.0" / "sv-SE")
    folder = make(release, tmp_path / "folder")
    for shuffle in (None, 1):
        archive = write_archive(release, tmp_path / f"cv-{shuffle}.tar.gz", shuffle=shuffle)
        packed = make(archive, tmp_path / f"packed-{shuffle}")
        for name in folder.splits:
            ours, theirs = folder.split(name), packed.split(name)
            place = {one: number for number, one in enumerate(theirs.ids)}
            order = [place[one] for one in ours.ids]
            assert theirs.audio_bytes(order) == ours.audio_bytes(range(len(ours)))
            assert [theirs.texts[number] for number in order] == ours.texts
    assert make(write_archive(release, tmp_path / "same.tar.gz"), tmp_path / "same").hash == (
        folder.hash
    )


def test_an_archives_repeated_rows_are_fed_twice(tmp_path):
    lines = [tsv_row("a.wav", "Hej"), tsv_row("a.wav", "Hej"), tsv_row("b.wav", "Du")]
    clips = {"a.wav": clip(1), "b.wav": clip(2)}
    release = write_release(tmp_path / "sv-SE", {"train": lines, "test": lines[:1]}, clips)
    corpus = make(write_archive(release, tmp_path / "cv.tar.gz"), tmp_path / "corpus")
    assert [row["reasons"] for row in rejected(corpus.path)] == [["duplicate"], ["duplicate"]]
    assert corpus.split("test").audio_bytes([0]) == [clips["a.wav"]]


@pytest.mark.parametrize("codec", ["flac", "opus"])
def test_other_codecs_hold_the_same_sound(tmp_path, codec):
    release = simple_release(tmp_path / "sv-SE", 4, 1, 1)
    fine = encoded(speech(1, 1, rate_hz=48_000), 48_000)
    write_clips(release / "clips", {"common_voice_sv-SE_00000001.wav": fine})
    original = make(release, tmp_path / "original").split("train")
    corpus = make(release, tmp_path / codec, data=DataConfig(workers=1, codec=codec))
    split = corpus.split("train")
    assert corpus.info["codec"] == codec
    assert split.ids == original.ids
    for ours, theirs in zip(
        split.audio_bytes(range(4)), original.audio_bytes(range(4)), strict=True
    ):
        one, other = decode(ours), decode(theirs)
        assert one.container == {"flac": "flac", "opus": "ogg"}[codec]
        assert len(one.samples) == len(other.samples)
        if codec == "flac":
            np.testing.assert_allclose(one.samples, other.samples, atol=2**-15)


def test_text_is_written_in_the_recipes_style(tmp_path):
    lines = [tsv_row("a.wav", "HEJ,  Du & jag: A\u030asa!")]
    release = write_release(tmp_path / "sv-SE", {"train": lines}, {"a.wav": clip(1)})
    style = TextConfig(case="lower", punctuation="strip", replace={"&": "och"})
    assert make(release, tmp_path / "styled", text=style).split("train").texts == [
        "hej du och jag åsa"
    ]
    assert make(release, tmp_path / "plain").split("train").texts == ["HEJ, Du & jag: Åsa!"]


def test_what_sources_know_becomes_columns(tmp_path):
    release = simple_release(tmp_path / "sv-SE", 1, 0, 0)
    write_clips(tmp_path / "own", {"x.wav": clip(77)})
    manifest = write_manifest(
        tmp_path / "own", [{"audio": "x.wav", "text": "Hej", "split": "train", "room": "kök"}]
    )
    train = make([release, manifest], tmp_path / "corpus").split("train")
    assert train.column("room") == [None, "kök"]
    assert train.column("age") == ["teens", None]


def test_sources_of_one_name_are_told_apart(tmp_path):
    one = simple_release(tmp_path / "a" / "cv" / "sv-SE", 2, 0, 0)
    other = write_release(
        tmp_path / "b" / "cv" / "sv-SE",
        {"train": [tsv_row("common_voice_sv-SE_00000001.wav", "Annan mening")]},
        {"common_voice_sv-SE_00000001.wav": clip(99)},
    )
    ids = make([one, other], tmp_path / "corpus").split("train").ids
    assert ids[2] == "cv/sv-SE-2/common_voice_sv-SE_00000001.wav"
    assert len(set(ids)) == 3


def test_the_hub_reads_audio_as_audio(tmp_path):
    corpus = make(simple_release(tmp_path / "sv-SE", 2, 0, 0), tmp_path / "corpus")
    import pyarrow.parquet as pq

    schema = pq.read_schema(corpus.path / "train-00000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["audio"] == {"_type": "Audio"}
    assert list(features) == schema.names


def test_a_borrowed_token_is_kept_beside_the_real_language(tmp_path):
    release = simple_release(tmp_path / "se", 1, 0, 0)
    corpus = make(release, tmp_path / "corpus", language="se", language_token="fi")
    assert (corpus.language, corpus.language_token) == ("se", "fi")
    with pytest.raises(LanguageError, match="language_token"):
        make(release, tmp_path / "other", language="se")


def test_the_closing_table_counts_everything(tmp_path):
    rows = [
        (1, "Ett", "a", "train"),
        (1, "Ett igen", "b", "train"),
        (3, "Tre", "a", "dev"),
    ]
    manifest = manifest_of(tmp_path / "source", rows)
    table = str(prepare([str(manifest)], tmp_path / "corpus", data=ONE))
    assert "train      1   0.00         1         1      0" in table
    assert "duplicate" in table
    assert "dev and train" in table
    assert "test is empty" in table
    assert "data.disjoint" in table
    assert "3 rows, licence not known, ask before passing on" in table


# --- Refusals ------------------------------------------------------------------------------------


def test_a_source_that_cannot_be_read_is_one_sentence_and_leaves_no_corpus(tmp_path):
    release = simple_release(tmp_path / "sv-SE", 1, 1, 1)
    (release / "test.tsv").write_text(HEADER.replace("path", "pth") + "\n")
    with pytest.raises(CorpusError, match=r"test\.tsv has no column for the clip \(path\).*'pth'"):
        make(release, tmp_path / "corpus")
    assert not (tmp_path / "corpus" / "corpus.json").exists()


def test_a_source_without_a_row_is_refused(tmp_path):
    release = write_release(tmp_path / "sv-SE", {"train": ["broken"]}, {})
    with pytest.raises(CorpusError, match="has a row that can be a clip"):
        make(release, tmp_path / "corpus")


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    release = simple_release(tmp_path / "sv-SE", 1, 0, 0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(CorpusError, match="holds files that are no corpus"):
        make(release, tmp_path / "mine")
    with pytest.raises(CorpusError, match="is a file"):
        make(release, tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_neither_torch_nor_transformers_is_imported(tmp_path):
    release = simple_release(tmp_path / "sv-SE", 2, 1, 1)
    script = (
        "import sys; from pathlib import Path; from modersmal.config import DataConfig\n"
        "from modersmal.corpus.inspect import inspect\n"
        "from modersmal.corpus.prepare import prepare\n"
        "prepare([sys.argv[1]], Path(sys.argv[2]), data=DataConfig(workers=1))\n"
        "inspect(Path(sys.argv[2]))\n"
        "print({'torch', 'transformers', 'ctranslate2'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(release), str(tmp_path / "corpus")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "set()\n"


def test_a_url_is_no_folder_to_prepare_into(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="set it as the recipe's `store`"):
        prepare(["anything"], Path("s3://bucket/corpora/sv"))
    assert not list(tmp_path.iterdir())
