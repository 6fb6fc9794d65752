from dataclasses import replace

import numpy as np
import pytest
import torch

from modersmal.errors import TrainingError
from modersmal.language import Vocabulary, tokenizer
from modersmal.train.batch import HeardSample, StepBatch
from modersmal.train.labels import Labeller, Utterance
from modersmal.train.plan import PlannedBatch, PlannedSample
from modersmal.train.preflight import check_batch, check_loss, check_model, label_fault
from modersmal.whisper.load import load
from modersmal.whisper.tokens import special_ids

V2 = Vocabulary.MULTILINGUAL
IDS = special_ids(V2)
SV, FI = IDS.languages["sv"], IDS.languages["fi"]
TEXT = "Hej på dig."
START = [IDS.start, SV, IDS.transcribe]


def words(text=TEXT):
    return tokenizer(V2).encode(f" {text}", add_special_tokens=False).ids


def fault(label, text=TEXT):
    return label_fault(label, text, tokenizer(V2), V2, "sv")


def test_sound_labels_pass():
    assert fault([*START, IDS.no_timestamps, *words(), IDS.end]) is None
    timed = [IDS.timestamp(0), *words("Hej"), IDS.timestamp(1), IDS.timestamp(1),
             *words("på dig."), IDS.timestamp(2.5), IDS.end]  # fmt: skip
    assert fault([*START, *timed], "Hej på dig.") is None
    straddled = [*timed[:-1], IDS.timestamp(29), IDS.end]
    assert fault([*START, *straddled], "Hej på dig.") is None
    before = [IDS.start_of_previous, *words("Ja.")]
    assert fault([*before, *START, *timed], "Hej på dig.") is None
    assert fault([*START, IDS.no_timestamps, IDS.end], "") is None


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([IDS.start_of_previous, FI, *START, IDS.no_timestamps, *words(), IDS.end], "at its head"),
        ([IDS.start, *START, IDS.no_timestamps, *words(), IDS.end], "2 start-of-transcript"),
        ([SV, IDS.transcribe, IDS.no_timestamps, *words(), IDS.end], "0 start-of-transcript"),
        ([IDS.start, FI, IDS.transcribe, IDS.no_timestamps, *words(), IDS.end], "tokens for 'sv'"),
        ([IDS.start, SV, IDS.translate, IDS.no_timestamps, *words(), IDS.end], "and transcribing"),
        ([IDS.start, IDS.no_timestamps, *words(), IDS.end], "tokens for 'sv'"),
        ([*START, IDS.no_timestamps, *words()], "end with its only end-of-text"),
        ([*START, IDS.no_timestamps, *words(), IDS.end, IDS.end], "end with its only end-of-text"),
        ([*START, *words(), IDS.end], "neither timestamps nor"),
        ([*START, IDS.no_timestamps, *words() * 200, IDS.end], "Whisper holds 448"),
        ([*START, IDS.no_timestamps, *words(), 60_000, IDS.end], "outside the vocabulary"),
        (
            [*START, IDS.timestamp(2), *words(), IDS.timestamp(1), IDS.end],
            "timestamps run backwards",
        ),
        (
            [*START, IDS.no_timestamps, IDS.timestamp(1), *words(), IDS.end],
            "timestamps after",
        ),
        ([*START, IDS.no_timestamps, *words(), FI, IDS.end], "special token within its text"),
        ([*START, IDS.no_timestamps, *words("Hej då."), IDS.end], "its label reads 'Hej då.'"),
    ],
)
def test_every_planted_fault_is_refused(label, message):
    assert message in fault(label)


def batch_of(texts, clips=None, language_token="sv", whisper=None):
    labeller = Labeller(tokenizer(V2), V2, language_token)
    clips = clips or [np.sin(np.arange(16_000) / 20).astype(np.float32) * 0.1] * len(texts)
    samples = [
        HeardSample(clip, labeller.label([Utterance(text, 0, 1)]), place, [(0, len(clip) // 160)])
        for place, (clip, text) in enumerate(zip(clips, texts, strict=True))
    ]
    planned = tuple(PlannedSample((place,), (0.0,)) for place in range(len(texts)))
    return StepBatch(PlannedBatch(0, 0, "dynamic", 200, 2.0, planned), samples, 9)


NOISE = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
TONE = np.sin(np.arange(48_000) / 20).astype(np.float32)


@pytest.mark.parametrize(
    ("texts", "clip", "token"),
    [
        (["Det regnar i dag.", "Hon läser."], TONE * 0.3, "sv"),  # clean
        (["Det regnar i dag."], TONE * 0.3 + NOISE * 0.1, "sv"),  # noisy
        (["Tyst, tyst!"], NOISE * 1e-4, "sv"),  # whispering
        (["en två tre fyra fem sex sju åtta nio tio elva tolv"] * 2, TONE[:16_000], "sv"),  # fast
        (["Samma röst.", "Samma röst."], TONE, "sv"),  # one speaker, one sentence
        (["Сегодня идёт дождь."], TONE, "ru"),  # other scripts
        (["今日は雨です。"], TONE, "ja"),
        (["اليوم مطر"], TONE, "ar"),
        (["आज बारिश हो रही है"], TONE, "hi"),
        (["Odne biegga leat garas — “čáhci” 3 € ♪"], TONE, "fi"),  # a borrowed token
    ],
)
def test_sound_corpora_pass(tiny_whisper, texts, clip, token):
    whisper = load(str(tiny_whisper()))
    sample = check_batch(batch_of(texts, [clip] * len(texts), token), texts, whisper, token)
    assert sample.text == texts[0]
    assert str(sample).startswith(f'"{texts[0]}" ({len(clip) / 16_000:.1f} s, ')


def test_a_batch_that_pairs_the_wrong_text_is_refused(tiny_whisper):
    whisper = load(str(tiny_whisper()))
    batch = batch_of(["Ett.", "Två."])
    with pytest.raises(TrainingError, match=r"sample 1 .* reads 'Ett\.', its text is 'Två\.'"):
        check_batch(batch, ["Två.", "Ett."], whisper, "sv")
    with pytest.raises(TrainingError, match="2 samples and 1 texts"):
        check_batch(batch, ["Ett."], whisper, "sv")


@pytest.mark.parametrize("clip", [np.zeros(0, np.float32), np.full(9, np.nan, np.float32)])
def test_a_clip_without_sound_audio_is_refused(tiny_whisper, clip):
    with pytest.raises(TrainingError, match="sample 2 of the first batch holds no sound audio"):
        check_batch(
            batch_of(["Ett.", "Två."], [TONE, clip]), ["Ett.", "Två."], load(str(tiny_whisper())),
            "sv",
        )  # fmt: skip


def test_a_long_sample_is_shown_in_part(tiny_whisper):
    texts = ["Ord " * 60]
    sample = check_batch(batch_of(texts), texts, load(str(tiny_whisper())), "sv")
    assert "…" in str(sample)
    assert len(str(sample)) < 120


def test_the_model_itself_is_checked(tiny_whisper):
    whisper = load(str(tiny_whisper()))
    check_model(whisper)
    with pytest.raises(TrainingError, match="take 80 mel bins, not 128"):
        check_model(replace(whisper, mels=128))
    with pytest.raises(TrainingError, match="know 51,865 tokens, not 51,866"):
        check_model(replace(whisper, vocabulary=Vocabulary.MULTILINGUAL_V3))
    with pytest.raises(TrainingError, match=r"does not give .*endoftext"):
        check_model(replace(whisper, tokenizer=tokenizer(Vocabulary.ENGLISH)))
    with torch.no_grad():
        whisper.model.model.encoder.conv1.bias[0] = float("nan")
    with pytest.raises(TrainingError, match=r"encoder\.conv1\.bias .* not numbers"):
        check_model(whisper)


def test_the_first_loss_is_judged():
    assert check_loss(1.4, V2) is None
    assert check_loss(5.9, V2) is None
    assert "is 6.1, which is high" in check_loss(6.1, V2)
    assert check_loss(11.8, V2) is not None  # guessing costs ln(51,865) = 10.86
    with pytest.raises(TrainingError, match="worse than guessing"):
        check_loss(11.9, V2)
    for broken in (float("nan"), float("inf")):
        with pytest.raises(TrainingError, match="is not a number"):
            check_loss(broken, V2)
