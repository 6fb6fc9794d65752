"""What is held against a clip: each finding has a short name and says what was measured."""

from dataclasses import dataclass

import numpy as np

from modersmal.audio import SAMPLE_RATE, Audio
from modersmal.config import ChecksConfig
from modersmal.language import MAX_TOKENS, Vocabulary, count_label_tokens
from modersmal.text import spoken_letters

_LOUDNESS_WINDOW_SAMPLES = SAMPLE_RATE // 10
_LETTERS_PER_DIGIT = 4
_TOKENS_BESIDE_TEXT = 6

# Every reason a row can be rejected or flagged for. The first ones leave nothing to score: clips
# with them are dropped from dev and test too, where the others are only flagged.
REASONS = {
    "broken-row": "the row cannot be read",
    "outside": "the path leads out of the source",
    "no-audio": "a text without an audio file",
    "unreadable": "the audio is missing or cannot be decoded",
    "empty": "the audio holds nothing",
    "no-text": "the text has no letter or digit",
    "bad-times": "a subtitle ends before it begins",
    "past-end": "a subtitle lies behind the end of its recording",
    "no-speech": "a subtitle of sounds or music, not of speech",
    "no-match": "what is heard there is not the text",
    "too-short": "shorter than checks.min_duration_s",
    "too-long": "longer than checks.max_duration_s",
    "silent": "nowhere louder than checks.silence_db",
    "clipped": "more at full scale than checks.clipped_share",
    "too-many-tokens": f"the label has over {MAX_TOKENS} tokens",
    "too-fast": "too much text for its length",
    "too-slow": "too little text for its length",
    "duplicate": "the same audio is there already",
    "speaker-overlap": "the speaker is in dev or test (data.disjoint)",
    "sentence-overlap": "the sentence is in dev or test (data.disjoint)",
    "unreviewed": "a correction that no reviewer has accepted yet",
    "rejected": "a correction that a reviewer has rejected",
    "unknown-voice": "a correction of a voice that nobody knows",
    "unknown-ground": "a correction that nobody knows the ground for using",
    "expired": "a correction whose time is over",
    "other-language": "a correction in another language",
}


@dataclass(frozen=True)
class Finding:
    """`reason` is a key of REASONS; `detail` says what was measured."""

    reason: str
    detail: str


def check_text(text: str) -> list[Finding]:
    """Whether there is anything to say."""
    if spoken_letters(text):
        return []
    return [Finding("no-text", f"{text!r} has nothing to say" if text else "there is no text")]


def check_audio(audio: Audio, config: ChecksConfig) -> list[Finding]:
    """Whether a decoded clip is of a length, and has the sound, to learn from."""
    findings = []
    if audio.duration_s < config.min_duration_s:
        findings.append(_measured("too-short", audio.duration_s, "s", config.min_duration_s))
    if audio.duration_s > config.max_duration_s:
        findings.append(_measured("too-long", audio.duration_s, "s", config.max_duration_s))
    loudest_db = loudness_db(audio.samples)
    if loudest_db < config.silence_db:
        findings.append(_measured("silent", loudest_db, "dB at its loudest", config.silence_db))
    if audio.clipped >= config.clipped_share:
        findings.append(_measured("clipped", audio.clipped, "at full scale", config.clipped_share))
    return findings


def check_rate(text: str, duration_s: float, config: ChecksConfig) -> list[Finding]:
    """Whether anybody could say `text` in `duration_s`, and would take as long."""
    duration_s = max(duration_s, 1 / SAMPLE_RATE)
    fastest = spoken_letters(text) / duration_s
    if fastest > config.max_characters_per_s:
        return [_measured("too-fast", fastest, "letters a second", config.max_characters_per_s)]
    slowest = spoken_letters(text, digit=_LETTERS_PER_DIGIT) / duration_s
    if slowest < config.min_characters_per_s:
        return [_measured("too-slow", slowest, "letters a second", config.min_characters_per_s)]
    return []


def check_tokens(text: str) -> list[Finding]:
    """Whether the label fits Whisper's decoder.

    A token of Whisper's byte-level vocabulary spells at least one byte, so that most texts need no
    counting.
    """
    if len(text.encode("utf-8", "replace")) + _TOKENS_BESIDE_TEXT <= MAX_TOKENS:
        return []
    [count] = count_label_tokens([" " + text], Vocabulary.MULTILINGUAL)
    return [_measured("too-many-tokens", count, "tokens", MAX_TOKENS)] if count > MAX_TOKENS else []


def loudness_db(samples: np.ndarray) -> float:
    """Root mean square of the loudest 0.1 s, in dB of full scale."""
    whole = len(samples) // _LOUDNESS_WINDOW_SAMPLES * _LOUDNESS_WINDOW_SAMPLES
    windows = samples[:whole].reshape(-1, _LOUDNESS_WINDOW_SAMPLES) if whole else samples[None]
    power = np.einsum("wn,wn->w", windows, windows).max() / max(1, windows.shape[1])
    return 10 * float(np.log10(power + 1e-20))


def _measured(reason: str, value: float, unit: str, limit: float) -> Finding:
    return Finding(reason, f"{value:.4g} {unit}, the limit is {limit:g}")
