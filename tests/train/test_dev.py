"""Dev clips are chosen once, enough for a stated interval, and read once; engines agree on them."""

from dataclasses import replace

import numpy as np
import pytest

from modersmal.config import EvaluateConfig
from modersmal.corpus import Corpus
from modersmal.corpus.shards import Split
from modersmal.evaluate.significance import clusters, rate_interval
from modersmal.train import dev as module
from modersmal.train.dev import INTERVAL, DevSet
from modersmal.whisper.decode_ct2 import CTranslate2Decoder
from modersmal.whisper.load import load


def choose(split: Split, count: int | None, **config: object) -> DevSet:
    return DevSet.choose(
        split, count, language="sv", language_token="sv", config=EvaluateConfig(**config)
    )


def test_later_scores_read_no_audio(tiny_whisper, tiny_corpus, monkeypatch) -> None:
    split = Corpus.open(tiny_corpus(dev=6)).split("dev")
    whisper = replace(load(str(tiny_whisper(terse=True))), context="dynamic")
    dev, done = choose(split, 4), []

    first = dev.score(whisper, done.append)
    monkeypatch.setattr(Split, "audio_bytes", None)
    again = dev.score(whisper, lambda clips: None)

    assert again == first
    assert first.clips == sum(done) == 4
    assert 0 < dev.features.bytes < 4 * 1.1 * 32_000 + 4 * 4 * 320


def test_to_spare_memory_the_model_is_away_while_its_conversion_decodes(
    tiny_whisper, tiny_corpus, monkeypatch
) -> None:
    dev = choose(Corpus.open(tiny_corpus(dev=6)).split("dev"), 4)
    whisper = load(str(tiny_whisper(terse=True)))
    write, held = CTranslate2Decoder.write, []

    def weigh(self, features, search):
        held.append(sum(value.numel() for value in whisper.model.parameters()))
        return write(self, features, search)

    monkeypatch.setattr(CTranslate2Decoder, "write", weigh)
    there = dev.score(whisper, lambda clips: None)
    assert min(held) > 0
    held.clear()
    assert dev.score(whisper, lambda clips: None, spare_memory=True) == there
    assert held
    assert max(held) == 0
    assert sum(value.numel() for value in whisper.model.parameters()) > 0


def test_clips_are_shown_as_read_and_as_heard_where_that_is_asked_for(
    tiny_whisper, tiny_corpus, capsys
) -> None:
    split = Corpus.open(tiny_corpus(dev=6)).split("dev")
    whisper = replace(load(str(tiny_whisper(terse=True))), context="dynamic")

    choose(split, 6).score(whisper, lambda clips: None)
    assert "read aloud" not in capsys.readouterr().err
    dev = replace(choose(split, 6), shown=2)
    dev.score(whisper, lambda clips: None)
    lines = capsys.readouterr().err.splitlines()
    read = [line.partition("read aloud  ")[2] for line in lines if "read aloud  " in line]
    assert len(read) == sum("heard" in line for line in lines) == 2
    assert set(read) <= set(split.texts)
    dev.score(whisper, lambda clips: None)
    assert capsys.readouterr().err.splitlines()[-4:] == lines[-4:], "the same clips every time"


@pytest.mark.parametrize("context", ["dynamic", "full"])
def test_scores_are_the_same_through_either_engine(
    tiny_whisper, tiny_corpus, monkeypatch, context: str
) -> None:
    split = Corpus.open(tiny_corpus(dev=6)).split("dev")
    whisper = replace(load(str(tiny_whisper(terse=True))), context=context)
    wrote = []
    write = CTranslate2Decoder.write
    monkeypatch.setattr(
        CTranslate2Decoder, "write", lambda *given: wrote.append(write(*given)) or wrote[-1]
    )

    fast = choose(split, 6).score(whisper, lambda clips: None)
    assert sum(map(len, wrote)) == 6
    slow = choose(split, 6, engine="transformers").score(whisper, lambda clips: None)

    assert sum(map(len, wrote)) == 6
    assert fast == slow


class Texts:
    """As much of a split as choosing looks at: clips of seven words."""

    def __init__(self, clips: int, text: str = "ett två tre fyra fem sex sju") -> None:
        self.ids = [f"clip-{number}" for number in range(clips)]
        self.texts = [text] * clips
        self.durations_s = np.full(clips, 3.0)
        self.durations_s[::10] = 31.0

    def __len__(self) -> int:
        return len(self.ids)


def test_the_subset_is_as_large_as_its_interval_needs() -> None:
    dev, small = choose(Texts(5000), None), choose(Texts(100), None)

    assert 300 < len(dev.rows) < 450
    assert INTERVAL * 0.99 < dev.interval <= INTERVAL
    assert f"{len(dev.rows)} dev clips: WER ± 2.5 points at 20 %" == str(dev)
    assert len(small.rows) == 90  # all there are, but for those over 30 s
    assert small.interval > 1.5 * INTERVAL
    assert len(choose(Texts(5000), 17).rows) == 17
    chinese = DevSet.choose(
        Texts(5000, "今天天气很好我们出去走走吧"), None, language="zh", language_token="zh",
        config=EvaluateConfig(),
    )  # fmt: skip
    assert "CER ± 2.5 points" in str(chinese)
    assert 300 < len(chinese.rows) < 600


def test_more_clips_hardly_change_the_choice() -> None:
    few, many = choose(Texts(2000), None), choose(Texts(2020), None)

    assert len(set(few.rows) & set(many.rows)) >= 0.97 * len(few.rows)


def test_the_interval_is_what_errors_that_come_in_clips_have() -> None:
    """Clips with a rate of their own, as wide as makes the design effect."""
    draws = np.random.default_rng(0)
    clips, words = 400, 7
    spread = (module._DESIGN_EFFECT["wer"] - 1) / (words - 1)  # intraclass correlation
    shape = (1 - spread) / spread
    rates = draws.beta(0.2 * shape, 0.8 * shape, clips)
    errors = draws.binomial(words, rates)
    found = rate_interval(errors, np.full(clips, words), clusters([None] * clips))

    stated = module._half_interval(clips * words, "wer")
    assert (found.high - found.low) / 2 == pytest.approx(stated, rel=0.2)
