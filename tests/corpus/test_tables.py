"""Tables: a broken row costs itself, never its neighbours; broken headers are refused."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.corpus.sources.tables import (
    find_column,
    read_csv,
    read_jsonl,
    read_tsv,
    table_lines,
)
from modersmal.errors import CorpusError


def read(reader, content):
    data = content if isinstance(content, bytes) else content.encode()
    return list(reader(io.BytesIO(data), "table"))


def rows(records):
    return [record.values for record in records[1:] if not record.fault]


def faults(records):
    return [(record.line, record.fault) for record in records if record.fault]


def test_tsv_is_unquoted():
    records = read(read_tsv, 'path\tsentence\na.mp3\t"Hej, sa hon\nb.mp3\t""\n')
    assert rows(records) == [
        {"path": "a.mp3", "sentence": '"Hej, sa hon'},
        {"path": "b.mp3", "sentence": '""'},
    ]


def test_tsv_survives_what_files_have():
    content = (
        b"\xef\xbb\xbfpath\tsentence\r\na\tx\x00y\r\n\r\nb\t\xff\nc\tone\ttwo\nd\tl\rm\ne\n f\tlast"
    )
    records = read(read_tsv, content)
    assert rows(records) == [
        {"path": "a", "sentence": "x\0y"},
        {"path": "d", "sentence": "l\rm"},
        {"path": " f", "sentence": "last"},
    ]
    assert [line for line, _ in faults(records)] == [4, 5, 7]
    assert faults(records)[1][1] == "it has 3 columns, the header has 2"


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_csv_reads_what_csv_writes(cells):
    cells = [
        tuple(cell.encode("utf-8", "ignore").decode().replace("\r", "") for cell in row)
        for row in cells
    ]
    out = io.StringIO()
    csv.writer(out).writerows([("audio", "text"), *cells])
    found = [tuple(values.values()) for values in rows(read(read_csv, out.getvalue()))]
    assert found == cells


def test_csv_numbers_rows_by_their_first_line():
    records = read(read_csv, 'audio,text\na,"two\nlines"\nb,x\n')
    assert [record.line for record in records] == [1, 2, 4]


def test_a_quote_that_never_closes_costs_its_own_row():
    content = 'audio,text\na,"open\nb,good\nc,"also, good"\nd,"bad" x\ne,end\n'
    records = read(read_csv, content)
    assert [values["audio"] for values in rows(records)] == ["b", "c", "e"]
    assert [line for line, _ in faults(records)] == [2, 5]


def test_a_quote_that_opens_in_the_last_row():
    records = read(read_csv, 'audio,text\na,x\nb,"open\n')
    assert [values["audio"] for values in rows(records)] == ["a"]
    assert [line for line, _ in faults(records)] == [3]


def test_csv_of_semicolons():
    assert rows(read(read_csv, "audio;text\na;Hej, du\n")) == [{"audio": "a", "text": "Hej, du"}]


def test_csv_that_is_not_utf8_in_places():
    records = read(read_csv, b"audio,text\na,\xe5\nb,ok\n")
    assert faults(records) == [(2, "it is not UTF-8")]
    assert rows(records) == [{"audio": "b", "text": "ok"}]


def test_jsonl():
    first = '{"audio": "a", "text": "x", "n": 1.5, "none": null}'
    content = first + '\n\n[1]\n{"audio"\n{"text": "\\ud800"}\n'
    records = read(read_jsonl, content)
    assert list(records[0].values) == ["audio", "text", "n", "none"]
    assert rows(records) == [{"audio": "a", "text": "x", "n": "1.5"}, {"text": "?"}]
    assert [line for line, _ in faults(records)] == [3, 4]


@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1))
def test_jsonl_reads_what_json_writes(objects):
    content = "".join(json.dumps(one) + "\n" for one in objects)
    expected = [
        {
            key: value.encode("utf-8", "replace").decode()
            for key, value in json.loads(json.dumps(one)).items()
        }
        for one in objects
    ]
    assert rows(read(read_jsonl, content)) == expected


@pytest.mark.parametrize(
    ("reader", "content", "sentence"),
    [
        (read_tsv, b"", "does not begin with a line of column names"),
        (read_csv, b"\n\n", "does not begin with a line of column names"),
        (read_tsv, "path\ttext\n".encode("utf-16"), "not UTF-8"),
        (read_tsv, b"path\ttext\ra\tb\r", "CR alone"),
        (read_csv, b"text,text\n", "'text' twice"),
        (read_tsv, b"RIFF\0\0\0\0WAVE", "does not begin"),
        (read_jsonl, b"\n", "holds no JSON object"),
        (read_jsonl, b"nothing\n", "holds no JSON object"),
    ],
)
def test_files_that_are_no_tables_are_refused(reader, content, sentence):
    with pytest.raises(CorpusError, match=sentence):
        read(reader, content)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="there is no file"):
        list(table_lines(tmp_path / "none.tsv"))
    with pytest.raises(CorpusError, match="cannot be read"):
        list(table_lines(tmp_path))


def test_columns_are_found_under_their_names():
    assert find_column(["Audio ", "x"], ["audio", "path"], "the audio", "m") == "Audio "
    assert find_column(["x"], ["speaker"], "the speaker", "m", needed=False) is None
    with pytest.raises(CorpusError) as raised:
        find_column(["path", "sentense", "age"], ["text", "sentence"], "its text", "m.csv")
    assert str(raised.value) == (
        "m.csv has no column for its text (text, sentence); its columns are path, sentense, age "
        "(did you mean 'sentense'?)"
    )
