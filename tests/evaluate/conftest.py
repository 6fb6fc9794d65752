"""Small corpora on disk, and models that score on them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from modersmal.audio import SAMPLE_RATE, encode_flac
from modersmal.corpus.schema import shard_name, shard_schema
from modersmal.corpus.shards import Corpus, ShardWriter, write_corpus_file
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete
from talkative import noise, stir

MakeCorpus = Callable[..., Corpus]


@pytest.fixture(scope="session")
def talkative(tiny_whisper, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random model that says different things of different clips."""
    folder = tmp_path_factory.mktemp("talkative") / "model"
    save_complete(stir(load(str(tiny_whisper()))), folder, None)
    return str(folder)


@pytest.fixture(scope="session")
def make_corpus(tmp_path_factory: pytest.TempPathFactory) -> MakeCorpus:
    """Make a corpus of clips and their texts, all in `split`."""

    def make(
        texts: Sequence[str],
        clips: Sequence[np.ndarray] | None = None,
        *,
        speakers: Sequence[str | None] | None = None,
        split: str = "test",
        language: str = "sv",
        language_token: str = "sv",
    ) -> Corpus:
        folder: Path = tmp_path_factory.mktemp("corpora") / "spoken"
        folder.mkdir()
        clips = clips or [noise(0.5, number) for number in range(len(texts))]
        speakers = speakers or [None] * len(texts)
        with ShardWriter(folder / shard_name(split, 0), shard_schema([])) as writer:
            for number, (text, clip, speaker) in enumerate(
                zip(texts, clips, speakers, strict=True)
            ):
                audio = {"bytes": encode_flac(clip), "path": f"{number}.flac"}
                writer.add(
                    {
                        "id": f"clip-{number}",
                        "audio": audio,
                        "text": text,
                        "duration": len(clip) / SAMPLE_RATE,
                        "speaker": speaker,
                        "source": "here",
                        "split": split,
                        "flags": [],
                    }
                )
        shards = [asdict(writer.shard)] if writer.shard else []
        info = {
            "language": language,
            "language_token": language_token,
            "splits": {split: {"shards": shards}},
        }
        return write_corpus_file(folder, info)

    return make
