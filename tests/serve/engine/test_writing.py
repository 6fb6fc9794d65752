"""The model is loaded again from where it was: what is known is not found out a second time."""

import shutil
from pathlib import Path

import pytest

from modersmal.serve.engine.writing import Writing
from modersmal.whisper import convert
from modersmal.whisper.convert import is_conversion


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writing:
    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path))
    return Writing.open("bundled", "cpu", offline=True)


def test_where_it_is_known_it_is_not_looked_for(
    first: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(convert, "model_hash")
    again = Writing.open("bundled", "cpu", True, first.converted)
    assert again.converted == first.converted


def test_where_it_has_gone_or_is_in_another_format_it_is(first: Writing) -> None:
    assert is_conversion(first.converted, "float32")
    assert not is_conversion(first.converted, "int8")
    other = first.converted.with_name(first.converted.name.replace("float32", "int8"))
    assert Writing.open("bundled", "cpu", True, other).converted == first.converted
    shutil.rmtree(first.converted)
    assert Writing.open("bundled", "cpu", True, first.converted).converted == first.converted
    assert is_conversion(first.converted, "float32")
