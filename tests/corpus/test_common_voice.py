"""Common Voice releases: as a folder and as an archive they say the same."""

import gzip
import tarfile

import pytest
from making import (
    HEADER,
    clip,
    simple_release,
    tsv_row,
    write_archive,
    write_clips,
    write_release,
)

from modersmal.corpus.sources import open_source
from modersmal.corpus.sources.base import Refused, Row
from modersmal.errors import CorpusError


@pytest.fixture
def release(tmp_path):
    return simple_release(tmp_path / "cv-corpus-99.0" / "sv-SE", 6, 2, 2)


def by_place(source):
    return {row.where: row for row in source.rows()}


def test_a_release_is_found_inside_its_folder(release):
    for path in (release, release.parent, release.parent.parent):
        source = open_source(str(path), "sv")
        assert (source.kind, source.name) == ("common-voice", "cv-corpus-99.0/sv-SE")
        assert (source.licence.name, source.licence.redistributable) == ("CC0-1.0", True)


def test_rows_say_what_the_tables_say(release):
    rows = list(open_source(str(release), "sv").rows())
    assert [row.split for row in rows] == ["train"] * 6 + ["dev"] * 2 + ["test"] * 2
    first = rows[0]
    assert first == Row(
        path="common_voice_sv-SE_00000001.wav",
        text="Mening 1 här.",
        where="train.tsv line 2",
        speaker="train-0",
        split="train",
        size=(release / "clips" / "common_voice_sv-SE_00000001.wav").stat().st_size,
        extras={"age": "teens"},
    )


def test_quotes_are_plain_characters_and_accents_have_one_name(tmp_path):
    lines = [tsv_row("a.mp3", '"Ja" sa han', accent="Skånska"), tsv_row("b.mp3", '"')]
    release = write_release(tmp_path / "sv-SE", {"train": lines}, {})
    rows = list(open_source(str(release), "sv").rows())
    assert [row.text for row in rows] == ['"Ja" sa han', '"']
    assert rows[0].extras == {"accent": "Skånska"}


def test_an_older_release_with_fewer_columns(tmp_path):
    (tmp_path / "clips").mkdir()
    table = "client_id\tpath\tsentence\taccent\nx\ta.mp3\tHej\tGöta\n"
    (tmp_path / "train.tsv").write_text(table, encoding="utf-8")
    [row] = open_source(str(tmp_path), "sv").rows()
    assert (row.speaker, row.text, row.extras) == ("x", "Hej", {"accent": "Göta"})


def test_without_train_the_validated_clips_come_without_splits(tmp_path):
    release = write_release(
        tmp_path / "se", {"validated": [tsv_row("a.mp3", "Bures")], "other": []}, {}
    )
    [row] = open_source(str(release), "se").rows()
    assert row.split is None


def test_a_broken_row_is_refused_by_its_line(tmp_path):
    lines = [
        tsv_row("a.mp3", "Hej"),
        "only\ttwo",
        tsv_row("", "Utan klipp"),
        tsv_row("b.mp3", "Ok"),
    ]
    release = write_release(tmp_path / "sv-SE", {"train": lines}, {})
    rows = list(open_source(str(release), "sv").rows())
    refused = [row for row in rows if isinstance(row, Refused)]
    assert [(row.where, row.reason, row.split) for row in refused] == [
        ("train.tsv line 3", "broken-row", "train"),
        ("train.tsv line 4", "broken-row", "train"),
    ]
    assert refused[0].detail == (
        "train.tsv line 3 cannot be read: it has 2 columns, the header has 13"
    )
    assert len(rows) == 4


def test_a_missing_column_is_refused(tmp_path):
    release = write_release(tmp_path / "sv-SE", {"train": []}, {"a.wav": clip(1)})
    table = HEADER.replace("\tsentence\t", "\tsentense\t")
    (release / "train.tsv").write_text(table + "\n")
    with pytest.raises(CorpusError, match=r"train\.tsv has no column for its text.*'sentense'"):
        list(open_source(str(release), "sv").rows())


def test_several_languages_need_a_choice(tmp_path):
    for language in ("sv-SE", "nn-NO", "zh-CN", "zh-TW"):
        simple_release(tmp_path / language, 1, 0, 0)
    assert open_source(str(tmp_path), "sv").name.endswith("/sv-SE")
    assert open_source(str(tmp_path), "zh-TW").name.endswith("/zh-TW")
    for language in ("fi", "zh"):
        with pytest.raises(CorpusError, match="several languages \\(nn-NO, sv-SE, zh-CN, zh-TW\\)"):
            open_source(str(tmp_path), language)


def test_the_fingerprint_follows_tables_and_clips(release):
    source = open_source(str(release), "sv")
    before = source.fingerprint()
    assert source.fingerprint() == before
    assert open_source(str(release.parent), "sv").fingerprint() == before
    write_clips(release / "clips", {"common_voice_sv-SE_00000001.wav": clip(1, 0.7)})
    after_clip = source.fingerprint()
    table = release / "dev.tsv"
    table.write_text(table.read_text("utf-8").replace("Mening", "Sats"), encoding="utf-8")
    assert len({before, after_clip, source.fingerprint()}) == 3


@pytest.mark.parametrize("name", ["cv.tar.gz", "cv.tgz", "cv.tar"])
def test_an_archive_says_what_its_folder_says(release, tmp_path, name):
    archive = open_source(str(write_archive(release, tmp_path / name, shuffle=3)), "sv")
    folder = open_source(str(release), "sv")
    assert archive.kind == "common-voice"
    plain, packed = by_place(folder), by_place(archive)
    assert archive.name == folder.name
    assert plain.keys() == packed.keys()
    for where, row in plain.items():
        other = packed[where]
        assert (row.path, row.text, row.speaker, row.split, row.size, row.extras) == (
            other.path, other.text, other.speaker, other.split, other.size, other.extras
        )  # fmt: skip


def test_an_archives_rows_come_in_the_order_of_its_clips(release, tmp_path):
    archive = open_source(str(write_archive(release, tmp_path / "cv.tar.gz", shuffle=5)), "sv")
    clips = dict(archive.clips([]))
    rows = list(archive.rows())
    for split in ("train", "dev", "test"):
        positions = [row.position for row in rows if row.split == split]
        assert positions == sorted(positions)
    assert [row.where for row in rows if row.split == "train"] != sorted(
        row.where for row in rows if row.split == "train"
    )
    for row in rows:
        assert clips[row.position] == (release / "clips" / row.path).read_bytes()


def test_an_archive_tells_broken_rows_and_missing_clips(tmp_path):
    lines = [
        tsv_row("a.wav", "Hej"),
        "broken",
        tsv_row("gone.wav", "Borta"),
        tsv_row("a.wav", "Två"),
    ]
    release = write_release(tmp_path / "sv-SE", {"train": lines}, {"a.wav": clip(1)})
    (release / "train.tsv").write_bytes((release / "train.tsv").read_bytes().rstrip(b"\n"))
    source = open_source(str(write_archive(release, tmp_path / "cv.tar.gz")), "sv")
    rows = by_place(source)
    assert rows["train.tsv line 3"].reason == "broken-row"
    assert (rows["train.tsv line 4"].reason, rows["train.tsv line 4"].detail) == (
        "unreadable", "the archive holds no clips/gone.wav"
    )  # fmt: skip
    assert rows["train.tsv line 2"].position == rows["train.tsv line 5"].position >= 0


def test_an_archive_of_several_languages_gives_the_one_asked_for(tmp_path):
    both = tmp_path / "both"
    simple_release(both / "sv-SE", 2, 1, 1)
    simple_release(both / "nn-NO", 3, 1, 1)
    path = tmp_path / "all.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(both, "cv")
    assert len(list(open_source(str(path), "nn-NO").rows())) == 5
    with pytest.raises(CorpusError, match="several languages"):
        list(open_source(str(path), "fi").rows())


def test_damaged_archives_are_told(release, tmp_path):
    whole = write_archive(release, tmp_path / "cv.tar.gz").read_bytes()
    raw = gzip.decompress(whole)
    harmed = {
        "cut.tar.gz": whole[: len(whole) // 2],
        "cut-between-members.tar.gz": gzip.compress(raw[:1024])[:-4],
        "checksum.tar.gz": whole[:-8] + b"\0\0\0\0" + whole[-4:],
        "cut.tar": raw[: len(raw) // 2 + 100],
        "text.tar.gz": b"this is no archive " * 100,
    }
    for name, data in harmed.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CorpusError, match=r"damaged or cut short|holds no Common"):
            list(open_source(str(tmp_path / name), "sv").rows())


def test_an_archive_without_a_release_is_refused(tmp_path):
    path = tmp_path / "other.tar.gz"
    (tmp_path / "readme").write_text("hello")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "readme", "readme")
    with pytest.raises(CorpusError, match="holds no Common Voice release"):
        list(open_source(str(path), "sv").rows())


def test_the_fingerprint_of_an_archive_follows_its_content_not_its_place(release, tmp_path):
    path = write_archive(release, tmp_path / "cv.tar.gz")
    before = open_source(str(path), "sv").fingerprint()
    moved = path.rename(tmp_path / "moved.tar.gz")
    assert open_source(str(moved), "sv").fingerprint() == before
    write_clips(release / "clips", {"more.wav": clip(99)})
    write_archive(release, moved)
    assert open_source(str(moved), "sv").fingerprint() != before
