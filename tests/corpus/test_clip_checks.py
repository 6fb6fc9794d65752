"""What is held against a clip, measured on sound made for it."""

import numpy as np
import pytest
from making import RATE_HZ, encoded, speech

from modersmal.audio import decode
from modersmal.config import ChecksConfig
from modersmal.corpus.checks import (
    check_audio,
    check_rate,
    check_text,
    check_tokens,
    loudness_db,
)

CHECKS = ChecksConfig()


def reasons(findings):
    return [finding.reason for finding in findings]


def heard(samples, kind="wav"):
    return check_audio(decode(encoded(samples, kind=kind)), CHECKS)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("level", [0.9, 0.1, 0.003])
def test_sound_clips_pass(kind, level):
    assert heard(speech(1, 2.0, level), kind) == []


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (speech(1, 0.19), "too-short"),
        (speech(1, 30.1), "too-long"),
        (np.zeros(RATE_HZ), "silent"),
        (speech(1, 2.0, 1e-4), "silent"),
        (np.clip(speech(1, 2.0, 4.0), -1, 1), "clipped"),
    ],
)
def test_each_fault_of_sound_is_found(samples, reason):
    assert reasons(heard(samples)) == [reason]


def test_one_loud_moment_in_a_long_silence_is_sound():
    clip = np.zeros(10 * RATE_HZ)
    clip[-RATE_HZ // 5 :] = speech(1, 0.2)
    assert heard(clip) == []


def test_the_limits_are_the_recipes():
    audio = decode(encoded(speech(1, 2.0)))
    assert reasons(check_audio(audio, ChecksConfig(min_duration_s=2.1))) == ["too-short"]
    assert reasons(check_audio(audio, ChecksConfig(max_duration_s=1.9))) == ["too-long"]
    assert reasons(check_audio(audio, ChecksConfig(silence_db=-5.0))) == ["silent"]


def test_what_was_measured_is_said():
    [finding] = heard(speech(1, 0.1))
    assert finding.detail == "0.1 s, the limit is 0.2"


def test_loudness_is_that_of_the_loudest_tenth_of_a_second():
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    assert loudness_db(tone) == pytest.approx(-3.01, abs=0.01)
    assert loudness_db(np.concatenate([np.zeros(5 * RATE_HZ, np.float32), tone])) == pytest.approx(
        -3.01, abs=0.01
    )
    assert loudness_db(tone[:100]) > -6
    assert loudness_db(np.zeros(0, np.float32)) < -190


@pytest.mark.parametrize("text", ["", "…", "?!", "♪♪", "\u0301"])
def test_nothing_to_say_is_no_text(text):
    assert reasons(check_text(text)) == ["no-text"]


@pytest.mark.parametrize("text", ["Hej", "7", "は", "क", "ᚠ"])
def test_one_letter_or_digit_is_a_text(text):
    assert check_text(text) == []


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("Det var en gång en flicka som hette Rödluvan.", 2.0),  # fast Swedish: 18 letters/s
        ("Ja", 3.0),
        ("7", 4.0),
        ("東京特許許可局局長", 2.5),
        ("なまむぎなまごめなまたまご", 1.5),
        ("अंतर्राष्ट्रीयकरण की प्रक्रिया", 2.0),
        ("สวัสดีครับผมชื่อสมชาย", 1.5),
        ("السلام عليكم ورحمة الله وبركاته", 1.5),
        ("국제화 과정에서", 1.0),
    ],
)
def test_texts_that_fit_their_length_pass(text, duration_s):
    assert check_rate(text, duration_s, CHECKS) == []


@pytest.mark.parametrize(
    ("text", "duration_s", "reason"),
    [
        ("Det var en gång en flicka som hette Rödluvan.", 0.5, "too-fast"),
        ("東京特許許可局局長今日", 0.5, "too-fast"),  # 22 a second: fine for letters, not for Han
        ("なまむぎなまごめなまたまご", 0.5, "too-fast"),
        ("Ja", 15.0, "too-slow"),
        ("Hej", 0.0, "too-fast"),
    ],
)
def test_texts_that_cannot_belong_are_found(text, duration_s, reason):
    assert reasons(check_rate(text, duration_s, CHECKS)) == [reason]


def test_labels_over_448_tokens_are_found():
    assert check_tokens("the " * 300) == []  # over 448 bytes, under 448 tokens
    [finding] = check_tokens("hej " * 460)
    assert finding.reason == "too-many-tokens"
    assert finding.detail.endswith("tokens, the limit is 448")
    assert reasons(check_tokens("ຂ້ອຍ" * 60)) == ["too-many-tokens"]
