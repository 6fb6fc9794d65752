"""Files and folders become transcripts, one by one; nothing of the user's is overwritten."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from modersmal.errors import ModelError, RecipeError
from modersmal.transcribe.engine import Engine
from modersmal.transcribe.transcribe import transcribe

SPEECH = Path(__file__).parents[1] / "data" / "speech"


def spoken(path: Path, number: int = 0) -> Path:
    """A copy of a spoken sentence at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SPEECH / f"{number:02d}.ogg", path)
    return path


def silent(path: Path) -> Path:
    """A fifth of a second of silence at `path`: done as soon as it is opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(3200, np.float32), 16_000, format="WAV")
    return path


def test_one_file_is_returned_and_not_written(tmp_path: Path) -> None:
    audio = spoken(tmp_path / "hälsning.ogg")

    (transcript,) = transcribe([audio], model="bundled", format="srt")

    assert transcript.written is None
    assert list(tmp_path.iterdir()) == [audio]
    assert transcript.language == "sv"
    assert transcript.text
    assert str(transcript).startswith("1\n00:00:0")
    assert transcript.text.split()[0] in str(transcript)


def test_several_are_written_beside_their_audio(tmp_path: Path) -> None:
    files = [spoken(tmp_path / "a.ogg", 1), silent(tmp_path / "b.wav")]

    transcripts = transcribe(files, model="bundled", format="json", words=True)

    assert [t.written for t in transcripts] == [tmp_path / "a.json", tmp_path / "b.json"]
    table = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert (table["model"], table["language"], table["file"]) == ("bundled", "sv", str(files[0]))
    assert table["text"] == transcripts[0].text
    assert table["segments"][0]["words"][0]["end_s"] > 0
    assert json.loads((tmp_path / "b.json").read_text("utf-8"))["segments"] == []


def test_a_folder_in_natural_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("rec_10.wav", "rec_2.wav", "deep/er/rec_1.WAV", ".hidden.wav", ".cache/x.wav"):
        silent(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.md").write_text("text")

    transcripts = transcribe([tmp_path / "in"], model="bundled", output=tmp_path / "out")

    names = [t.file.relative_to(tmp_path / "in").as_posix() for t in transcripts]
    assert names == ["rec_2.wav", "rec_10.wav", "deep/er/rec_1.WAV"]
    assert [t.written.relative_to(tmp_path / "out").as_posix() for t in transcripts] == [
        "rec_2.txt", "rec_10.txt", "deep/er/rec_1.txt",
    ]  # fmt: skip


def test_no_two_transcripts_go_to_one_file(tmp_path: Path) -> None:
    files = [silent(tmp_path / name) for name in ("x/a.wav", "y/a.wav", "y/a.mp3", "x/b.c.wav")]

    transcripts = transcribe([*files, files[0]], model="bundled", output=tmp_path / "out")

    written = [t.written.relative_to(tmp_path / "out").as_posix() for t in transcripts]
    assert written == ["x/a.txt", "y/a.wav.txt", "y/a.mp3.txt", "x/b.c.txt"]


def test_keeps_what_is_there_already(tmp_path: Path) -> None:
    files = [silent(tmp_path / "a.wav"), silent(tmp_path / "b.wav")]
    (tmp_path / "a.txt").write_text("Somebody's own text.")

    transcripts = transcribe(files, model="bundled")

    assert [t.kept for t in transcripts] == [True, False]
    assert (tmp_path / "a.txt").read_text() == "Somebody's own text."
    assert "is kept" in str(transcripts[0])
    (again,) = transcribe([tmp_path / "a.wav"], model="bundled", output=tmp_path, overwrite=True)
    assert not again.kept
    assert (tmp_path / "a.txt").read_text() == ""


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    text = tmp_path / "text.mp3"
    text.write_text("This is no audio.")
    (tmp_path / "empty").mkdir()
    files = [text, tmp_path / "missing.wav", tmp_path / "empty", silent(tmp_path / "good.wav")]

    transcripts = transcribe(files, model="bundled", output=tmp_path / "out")

    errors = {t.file.name: t.error for t in transcripts}
    assert errors["good.wav"] is None
    assert (tmp_path / "out" / "good.txt").exists()
    assert "is text" in errors["text.mp3"]
    assert "does not exist" in errors["missing.wav"]
    assert "holds no audio" in errors["empty"]
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    silent(tmp_path / "secret.wav")
    playlist = tmp_path / "list.mp3"
    playlist.write_text(f"#EXTM3U\n{tmp_path}/secret.wav\n")

    (transcript,) = transcribe([playlist], model="bundled")

    assert "is text" in transcript.error


def test_refuses_what_cannot_be_done(tmp_path: Path) -> None:
    audio = silent(tmp_path / "a.wav")

    with pytest.raises(RecipeError, match="at least one audio file"):
        transcribe([], model="bundled")
    with pytest.raises(RecipeError, match="no format 'doc'"):
        transcribe([audio], model="bundled", format="doc")
    with pytest.raises(RecipeError, match="txt holds no times"):
        transcribe([audio], model="bundled", words=True)
    with pytest.raises(ModelError, match="there is no model at"):
        transcribe([audio], model="no/such/model")


def test_short_files_are_transcribed_together(tmp_path: Path, monkeypatch) -> None:
    files = [spoken(tmp_path / f"{number}.ogg", number) for number in range(4)]
    (tmp_path / "bad.wav").write_text("This is no audio.")
    at_once: list[int] = []
    transcribe_all = Engine.transcribe_all

    def heard(self, recordings, **options):
        at_once.append(len(recordings))
        return transcribe_all(self, recordings, **options)

    monkeypatch.setattr(Engine, "transcribe_all", heard)
    transcripts = transcribe([*files, tmp_path / "bad.wav"], model="bundled")

    assert at_once == [4]
    assert [t.error is None for t in transcripts] == [True] * 4 + [False]
    for file, transcript in zip(files, transcripts, strict=False):
        (alone,) = transcribe([file], model="bundled")
        assert (transcript.text, transcript.segments) == (alone.text, alone.segments)
        assert file.with_suffix(".txt").read_text("utf-8") == transcript.render()
