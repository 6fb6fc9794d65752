"""Manifests and folders of audio with texts: what a row becomes, and what is refused."""

import pytest
from making import clip, write_clips, write_manifest

from modersmal.corpus.sources import open_source, open_sources
from modersmal.corpus.sources.base import LeavingError, Refused, clip_path
from modersmal.errors import CorpusError


def rows_of(path):
    return list(open_source(str(path), "sv").rows())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", 'audio,text,speaker,split,age\na.wav,"Hej, du",anna,validation,teens\n'),
        ("m.tsv", "path\tsentence\tclient_id\tsplit\tage\na.wav\tHej, du\tanna\tdev\tteens\n"),
        ("m.csv", "FILE;Transcription;Speaker;Split;age\na.wav;Hej, du;anna;valid;teens\n"),
        (
            "m.jsonl",
            '{"audio_filepath": "a.wav", "text": "Hej, du", "speaker": "anna", "split": "dev", '
            '"age": "teens", "duration": 1.5}\n',
        ),
    ],
)
def test_every_kind_gives_the_same_row(tmp_path, name, content):
    write_clips(tmp_path, {"a.wav": clip(1)})
    (tmp_path / name).write_text(content, encoding="utf-8")
    source = open_source(str(tmp_path / name), "sv")
    [row] = source.rows()
    assert (row.path, row.text, row.speaker, row.split) == ("a.wav", "Hej, du", "anna", "dev")
    assert row.extras == {"age": "teens"}
    assert row.size == (tmp_path / "a.wav").stat().st_size
    assert source.name == f"{tmp_path.name}/{name}"
    assert (source.licence.name, source.licence.redistributable) == (None, None)


def test_speaker_and_split_may_be_missing_in_a_row(tmp_path):
    [one] = rows_of(write_manifest(tmp_path, [{"file": "a.wav", "text": "Hej", "split": " "}]))
    assert (one.speaker, one.split, one.size) == (None, None, 0)


def test_a_missing_column_names_the_columns_and_the_nearest(tmp_path):
    (tmp_path / "m.csv").write_text("audoi,text\na.wav,Hej\n")
    with pytest.raises(
        CorpusError, match=r"its columns are audoi, text \(did you mean 'audoi'\?\)"
    ):
        rows_of(tmp_path / "m.csv")
    with pytest.raises(CorpusError, match="no column for its text"):
        rows_of(write_manifest(tmp_path, [{"audio": "a.wav", "words": "Hej"}]))


def test_rows_that_say_too_little_are_refused(tmp_path):
    manifest = write_manifest(
        tmp_path,
        [
            {"audio": "a.wav", "text": "Hej", "split": "train"},
            {"text": "Hej"},
            {"audio": "b.wav", "text": "Hej", "split": "../../etc"},
        ],
    )
    refused = [row for row in rows_of(manifest) if isinstance(row, Refused)]
    assert [row.detail for row in refused] == [
        "manifest.jsonl line 2 names no audio file",
        "manifest.jsonl line 3: '../../etc' is not the name of a split",
    ]


def test_a_folder_pairs_by_name_in_natural_order(tmp_path):
    for number in (10, 2, 1):
        write_clips(tmp_path, {f"rec_{number}.wav": clip(number)})
        (tmp_path / f"rec_{number}.txt").write_text(f"Text {number}\n", encoding="utf-8-sig")
    write_clips(tmp_path / "deep" / "er", {"x.FLAC": b"x"})
    (tmp_path / "deep" / "er" / "x.txt").write_text("Djupt")
    rows = rows_of(tmp_path)
    assert [(row.path, row.text.strip()) for row in rows] == [
        ("rec_1.wav", "Text 1"),
        ("rec_2.wav", "Text 2"),
        ("rec_10.wav", "Text 10"),
        ("deep/er/x.FLAC", "Djupt"),
    ]
    assert {row.split for row in rows} == {None}
    assert open_source(str(tmp_path), "sv").kind == "folder"


def test_a_folders_splits_are_its_folders_of_that_name(tmp_path):
    for split in ("train", "validation", "test", "radio"):
        write_clips(tmp_path / split, {"a.wav": clip(1)})
        (tmp_path / split / "a.txt").write_text("Hej")
    splits = {row.path: row.split for row in rows_of(tmp_path)}
    assert splits == {
        "train/a.wav": "train",
        "validation/a.wav": "dev",
        "test/a.wav": "test",
        "radio/a.wav": None,
    }


def test_what_a_folder_lacks_is_told(tmp_path):
    write_clips(tmp_path, {name: clip(1) for name in ("a.wav", "b.wav", "c.wav", "d.wav")})
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "c.txt").write_text("Hej")
    (tmp_path / "lonely.txt").write_text("Ingen ljudfil")
    outside = tmp_path.parent / "secret.txt"
    outside.write_text("hemligt")
    (tmp_path / "d.txt").symlink_to(outside)
    rows = rows_of(tmp_path)
    refused = {row.where: (row.reason, row.detail) for row in rows if isinstance(row, Refused)}
    assert refused == {
        "a.wav": ("no-text", "there is no a.txt beside a.wav"),
        "b.wav": ("no-text", "b.txt: it is not UTF-8"),
        "d.wav": ("no-text", "d.txt: it leads out of the source"),
        "lonely.txt": ("no-audio", "lonely.txt has no audio file of its name beside it"),
    }
    assert [row.path for row in rows if not isinstance(row, Refused)] == ["c.wav"]


def test_a_name_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "ok.wav").write_bytes(clip(1))
    (tmp_path / "ok.txt").write_text("Hej")
    with open(bytes(tmp_path) + b"/\xff.wav", "wb") as file:
        file.write(clip(2))
    refused = [row for row in rows_of(tmp_path) if isinstance(row, Refused)]
    assert [row.reason for row in refused] == ["unreadable"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda at: at / "nowhere", "there is no source at"),
        (lambda at: (at / "x.pdf", (at / "x.pdf").write_text("pdf"))[0], "is no source"),
        (lambda at: at, "holds no audio; give a Common Voice release"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path, make, sentence):
    with pytest.raises(CorpusError, match=sentence):
        rows_of(make(tmp_path))


def test_no_sources_are_refused():
    with pytest.raises(CorpusError, match="name at least one"):
        open_sources([], "sv")


def test_fingerprints_follow_rows_and_sizes(tmp_path):
    write_clips(tmp_path, {"a.wav": clip(1)})
    manifest = write_manifest(tmp_path, [{"audio": "a.wav", "text": "Hej"}])
    source = open_source(str(manifest), "sv")
    prints = [source.fingerprint(), source.fingerprint()]
    write_clips(tmp_path, {"a.wav": clip(1, 2.5)})
    prints.append(source.fingerprint())
    write_manifest(tmp_path, [{"audio": "a.wav", "text": "Hej då"}])
    prints.append(source.fingerprint())
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_clips_never_lie_outside(tmp_path):
    root = (tmp_path / "root").resolve()
    write_clips(root, {"in/a.wav": b"x"})
    write_clips(tmp_path, {"out.wav": b"secret", "outside/b.wav": b"secret"})
    (root / "link.wav").symlink_to(tmp_path / "out.wav")
    (root / "inner.wav").symlink_to(root / "in" / "a.wav")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    for leaving in (
        "../out.wav", "in/../../out.wav", "/etc/passwd", str(root / "in/a.wav"), "link.wav",
        "folder/b.wav", "..", "a\0b", "\\\\server\\x", "in/..//../out.wav",
    ):  # fmt: skip
        with pytest.raises(LeavingError):
            clip_path(root, leaving)
    for staying in ("in/a.wav", "in/../in/a.wav", "./in/a.wav", "inner.wav", "loop/in/a.wav"):
        assert clip_path(root, staying).read_bytes() == b"x"
