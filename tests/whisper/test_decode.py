"""Decoding in batches gives what plain `transformers` gives, clip by clip, in any order, and
through either engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from modersmal.errors import AudioError, ModelError
from modersmal.logmel import clip_features
from modersmal.whisper.convert import convert_live
from modersmal.whisper.decode import (
    Decoder,
    context_frames,
    decode,
    decode_lazily,
    hearing,
    plan_batches,
    token_cap,
)
from modersmal.whisper.decode_ct2 import CTranslate2Decoder
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import Whisper, load
from modersmal.whisper.tokens import prompt_ids, special_ids
from talkative import RATE, noise, stir

DURATIONS_S = [3.0, 1.2, 30.0, 7.7, 12.0]


CLIPS = [noise(duration_s, seed) for seed, duration_s in enumerate(DURATIONS_S)]


Opens = Callable[[Whisper], Decoder]


@pytest.fixture(scope="module")
def whisper(tiny_whisper) -> Whisper:
    return stir(load(str(tiny_whisper())))


@pytest.fixture(params=["transformers", "ctranslate2"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Opens:
    """How an engine takes a model."""
    if request.param == "transformers":
        return TransformersDecoder
    return lambda whisper: CTranslate2Decoder(convert_live(whisper, tmp_path / "ct2"), whisper)


@pytest.fixture
def decoder(opens: Opens, whisper: Whisper) -> Decoder:
    return opens(whisper)


def plainly(whisper: Whisper, clip: np.ndarray, **options) -> list[int]:
    """The text tokens that plain `transformers` generates, which pads to 30 s."""
    extractor = WhisperFeatureExtractor(feature_size=whisper.mels)
    features = extractor(clip, sampling_rate=RATE, return_tensors="pt").input_features
    ids = whisper.model.generate(features, **options)[0].tolist()
    return [token for token in ids if token < special_ids(whisper.vocabulary).end]


@pytest.mark.parametrize(
    ("vocabulary", "mels", "language", "beams"),
    [
        ("multilingual", 80, "sv", 1),
        ("multilingual", 80, "sv", 3),
        ("multilingual-v3", 128, "yue", 1),
        ("english", 80, None, 1),
    ],
)
def test_full_context_equals_plain_transformers(
    tiny_whisper, vocabulary: str, mels: int, language: str | None, beams: int
) -> None:
    whisper = stir(load(str(tiny_whisper(vocabulary, mels))))
    options = {"language": language, "task": "transcribe"} if language else {}
    decoder = TransformersDecoder(whisper)

    decoded = decode(
        decoder, CLIPS[:3], language_token=language, context="full", batch_s=60, beams=beams
    )

    plain = [plainly(whisper, clip, num_beams=beams, **options) for clip in CLIPS[:3]]
    assert [list(hypothesis.tokens) for hypothesis in decoded] == plain
    assert min(len(ids) for ids in plain) < 440  # they come to an end by themselves
    assert len({hypothesis.text for hypothesis in decoded}) > 1  # they do depend on the clip


def test_a_clip_decodes_alike_whatever_it_is_batched_with(decoder: Decoder) -> None:
    clips = [*CLIPS, noise(6.9, 7), noise(7.1, 8), np.zeros(0, np.float32)]

    together = decode(decoder, clips, language_token="sv", batch_s=60)
    alone = [decode(decoder, [clip], language_token="sv")[0] for clip in clips]

    assert [h.tokens for h in together] == [h.tokens for h in alone]
    assert len({h.tokens for h in together}) > 3
    assert decode(decoder, [], language_token="sv") == []


def test_logprobs_are_those_of_the_model(decoder: Decoder, whisper: Whisper) -> None:
    clip, end = CLIPS[3], special_ids(whisper.vocabulary).end
    frames = context_frames(7.7, "dynamic")
    (hypothesis,) = decode(decoder, [clip], language_token="sv")
    prompt = prompt_ids(whisper.vocabulary, "sv")
    written = [*hypothesis.tokens, end]

    with torch.no_grad():
        logits = whisper.model(
            input_features=clip_features([clip], 80, frames, "cpu"),
            decoder_input_ids=torch.tensor([[*prompt, *written[:-1]]]),
        ).logits[0, len(prompt) - 1 :]
    logits[:, whisper.generation.suppress_tokens] = -torch.inf
    logits[0, whisper.generation.begin_suppress_tokens] = -torch.inf
    expected = logits.log_softmax(-1)[range(len(written)), written].mean().item()

    assert hypothesis.avg_logprob == pytest.approx(expected, abs=1e-4)
    assert -20 < hypothesis.avg_logprob < 0


def test_no_work_is_done_twice(whisper: Whisper) -> None:
    contexts: list[tuple[int, ...]] = []
    steps: list[int] = []
    encoder, decoder = whisper.model.model.encoder, whisper.model.model.decoder
    hooks = [
        encoder.register_forward_pre_hook(
            lambda _, inputs: contexts.append(tuple(inputs[0].shape[::2]))
        ),
        decoder.register_forward_pre_hook(
            lambda _, inputs, named: steps.append(named["input_ids"].shape[1]), with_kwargs=True
        ),
    ]
    decoder = TransformersDecoder(whisper)
    decode(decoder, [CLIPS[1], CLIPS[3], CLIPS[1]], language_token="sv", batch_s=60)
    for hook in hooks:
        hook.remove()

    assert contexts == [(1, 800), (2, 200)]  # 7.7 s, and twice 1.2 s
    assert steps.count(4) == 2  # the prompt, once per batch; then one token at a time
    assert set(steps) == {1, 4}


@pytest.fixture
def endless(tiny_whisper) -> Whisper:
    """A model that never writes end-of-text."""
    whisper = stir(load(str(tiny_whisper(seed=3))))
    with torch.no_grad():
        whisper.model.model.decoder.embed_positions.weight.zero_()
        whisper.model.model.decoder.embed_tokens.weight[special_ids(whisper.vocabulary).end] = 0
    return whisper


def test_a_model_that_never_ends_is_cut_short(endless: Whisper, opens: Opens) -> None:
    decoder = opens(endless)

    (cut,) = decode(decoder, [CLIPS[1]], language_token="sv")

    assert len(cut.tokens) == token_cap(200, 4) < 90
    assert token_cap(3000, 4) == 444  # Whisper's own limit
    assert -20 < cut.avg_logprob < 0


def test_ctranslate2_writes_as_much_as_whisper_can(endless: Whisper, tmp_path: Path) -> None:
    """Its own limit is half of what it is given, and half of 448 would cut windows short."""
    decoder = CTranslate2Decoder(convert_live(endless, tmp_path / "ct2"), endless)

    (whole,) = decode(decoder, [CLIPS[1]], language_token="sv", context="full")

    assert len(whole.tokens) == 444


def test_timestamps_come_in_order(decoder: Decoder, whisper: Whisper) -> None:
    first = special_ids(whisper.vocabulary).first_timestamp

    decoded = decode(decoder, CLIPS[:2], language_token="sv", timestamps=True)

    for hypothesis in decoded:
        times = [token for token in hypothesis.tokens if token >= first]
        assert first <= hypothesis.tokens[0] <= first + 50
        assert times == sorted(times)
        assert "<|" not in hypothesis.text


def test_both_engines_write_the_same(whisper: Whisper, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in whisper.model.state_dict().items()}
    engines = [
        TransformersDecoder(whisper),
        CTranslate2Decoder(convert_live(whisper, tmp_path / "ct2"), whisper),
    ]

    for context in ("dynamic", "full"):
        one, other = (
            decode(decoder, CLIPS, language_token="sv", context=context) for decoder in engines
        )
        assert [h.tokens for h in one] == [h.tokens for h in other]
        assert [h.avg_logprob for h in one] == pytest.approx(
            [h.avg_logprob for h in other], abs=1e-4
        )
    assert all(
        torch.equal(value, before[name]) for name, value in whisper.model.state_dict().items()
    )


def test_reads_one_batch_ahead_and_reports(whisper: Whisper) -> None:
    decoder = TransformersDecoder(whisper)
    events: list[object] = []

    def read(numbers: list[int]) -> list[np.ndarray]:
        events.append(numbers)
        return [noise(1, number) for number in numbers]

    whisper.model.train()
    lazily = decode_lazily(
        decoder, [1.0] * 5, hearing(read, decoder), language_token="sv", batch_s=4,
        on_progress=events.append,
    )  # fmt: skip

    assert whisper.model.training
    whisper.model.eval()
    assert [h.tokens for h in lazily] == [
        h.tokens for h in decode(decoder, read([0, 1, 2, 3, 4]), language_token="sv")
    ]
    assert [event for event in events if isinstance(event, int)] == [2, 2, 1]
    assert events.index([4]) > events.index(
        2
    )  # the third batch is not read before the first is done


def test_several_batches_at_once_give_the_same(
    whisper: Whisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, threads = convert_live(whisper, tmp_path / "ct2"), torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = CTranslate2Decoder(folder, whisper)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.set_num_threads(2)
    three = CTranslate2Decoder(folder, whisper)
    done: list[int] = []

    at_once = decode(three, CLIPS, language_token="sv", batch_s=30, on_progress=done.append)

    assert (one.lanes, three.lanes) == (1, 3)
    assert at_once == decode(one, CLIPS, language_token="sv", batch_s=30)
    assert sum(done) == len(CLIPS)
    assert torch.get_num_threads() == 2  # CTranslate2 would leave torch with one
    torch.set_num_threads(threads)


def test_refuses_what_does_not_fit(decoder: Decoder, opens: Opens, tiny_whisper) -> None:
    with pytest.raises(AudioError, match=r"30\.5 s is longer"):
        decode(decoder, [CLIPS[1], noise(30.5)], language_token="sv")
    with pytest.raises(ModelError, match="no token for language 'se'"):
        decode(decoder, CLIPS[:1], language_token="se")
    english = TransformersDecoder(load(str(tiny_whisper("english"))))
    with pytest.raises(ModelError, match="English-only"):
        decode(english, CLIPS[:1], language_token="sv")


def test_no_clip_is_heard_in_less_than_its_models_floor() -> None:
    assert context_frames(1.2, "dynamic") == 200
    assert context_frames(1.2, "dynamic", floor_s=4.5) == 500
    assert context_frames(7.7, "dynamic", floor_s=4.5) == 800
    (batch,) = plan_batches([0.5, 1.5, 2.5], "dynamic", 60, floor_s=3)
    assert batch.frames == 300


@given(
    st.lists(st.floats(0, 30), max_size=60),
    st.sampled_from(["dynamic", "full"]),
    st.floats(1, 600),
)
def test_batches_hold_every_clip_once_within_their_budget(durations_s, context, batch_s) -> None:
    batches = plan_batches(durations_s, context, batch_s)

    assert sorted(clip for batch in batches for clip in batch.clips) == list(
        range(len(durations_s))
    )
    for batch in batches:
        seconds = batch.frames / 100
        assert len(batch.clips) == 1 or len(batch.clips) * seconds <= batch_s
        for clip in batch.clips:
            assert context_frames(durations_s[clip], context) == batch.frames
            assert seconds + 1e-4 >= durations_s[clip]
            assert context == "full" or seconds <= max(2, durations_s[clip] + 1 + 1e-4)
