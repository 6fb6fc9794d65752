"""Alignment heads are found by when known things are said, wherever in the model they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.whisper.heads import Said, Timed, find_heads
from modersmal.whisper.load import Whisper, load
from modersmal.whisper.timing import first_positions

SPEECH = Path(__file__).parent.parent / "data" / "speech"


def window(numbers: range, pause_s: float = 0.7) -> Timed:
    """Clips with pauses between, and when each of them is said."""
    rows = [line.split("\t") for line in (SPEECH / "texts.tsv").read_text().splitlines()]
    texts = dict(row[:2] for row in rows)
    parts: list[np.ndarray] = []
    said = []
    for number in numbers:
        samples = decode(SPEECH / f"{number:02d}.ogg").samples
        loud = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max()) / SAMPLE_RATE
        begin_s = sum(map(len, parts)) / SAMPLE_RATE
        said.append(Said(begin_s + loud[0], begin_s + loud[-1], texts[f"{number:02d}"]))
        parts += [samples, np.zeros(round(pause_s * SAMPLE_RATE), np.float32)]
    return Timed(np.concatenate(parts), tuple(said))


@pytest.fixture(scope="module")
def windows() -> list[Timed]:
    return [window(range(first, first + 4)) for first in range(0, 24, 4)]


@pytest.fixture(scope="module")
def base() -> Whisper:
    return load("bundled")


def with_heads(whisper: Whisper, heads: list[list[int]]) -> Whisper:
    generation = type(whisper.generation).from_dict(whisper.generation.to_dict())
    generation.alignment_heads = heads
    return replace(whisper, generation=generation)


def test_heads_that_follow_the_audio_take_the_place_of_those_that_do_not(
    base: Whisper, windows: list[Timed]
) -> None:
    found = find_heads(base, windows, "sv")
    assert found.edges >= 12
    assert found.after_s < found.before_s  # the base names every head of its last layer
    assert found.after_s < 0.2
    config = base.model.config
    others = [
        (layer, head)
        for layer in range(config.decoder_layers)
        for head in range(config.decoder_attention_heads)
        if (layer, head) not in found.heads
    ]
    stale = with_heads(base, [list(others[0])])
    again = find_heads(stale, windows, "sv")
    assert again.before_s > again.after_s
    assert again.heads == found.heads


@pytest.mark.chaos
def test_heads_are_found_where_they_have_moved_to(base: Whisper, windows: list[Timed]) -> None:
    """Two heads of a layer change places: the model writes the same, and times by the other."""
    found = find_heads(base, windows, "sv")
    layer = found.heads[-1][0]
    moved = load("bundled")
    attention = moved.model.model.decoder.layers[layer].encoder_attn
    width, heads = attention.head_dim, attention.num_heads
    order = torch.arange(heads * width).reshape(heads, width).roll(1, 0).reshape(-1)
    with torch.no_grad():
        for part in (attention.q_proj, attention.k_proj, attention.v_proj):
            part.weight.copy_(part.weight[order].clone())
            if part.bias is not None:
                part.bias.copy_(part.bias[order].clone())
        attention.out_proj.weight.copy_(attention.out_proj.weight[:, order].clone())
    again = find_heads(moved, windows, "sv")
    assert set(again.heads) == {
        (one, (head + 1) % heads if one == layer else head) for one, head in found.heads
    }
    assert again.after_s == pytest.approx(found.after_s, abs=0.021)


def test_heads_that_are_no_better_are_not_taken(base: Whisper, windows: list[Timed]) -> None:
    best = find_heads(base, windows, "sv")
    settled = with_heads(base, [list(head) for head in best.heads])
    again = find_heads(settled, windows, "sv")
    assert again.heads == best.heads
    assert again.after_s == again.before_s == best.after_s


def test_without_anything_said_there_is_nothing_to_find_by(base: Whisper) -> None:
    with pytest.raises(ValueError, match="something is said"):
        find_heads(base, [Timed(np.zeros(16_000, np.float32), ())], "sv")


def test_paths_of_many_heads_are_those_of_each() -> None:
    scores = np.random.default_rng(0).standard_normal((3, 2, 5, 40))
    together = first_positions(scores)
    assert together.shape == (3, 2, 5)
    for one in range(3):
        for other in range(2):
            assert np.array_equal(together[one, other], first_positions(scores[one, other]))
    assert np.all(np.diff(together, axis=-1) > 0)


def test_a_path_follows_what_is_clear() -> None:
    scores = np.zeros((4, 30), np.float32)
    for row, (first, last) in enumerate([(0, 6), (6, 17), (17, 22), (22, 30)]):
        scores[row, first:last] = 1
    assert first_positions(scores).tolist() == [0, 6, 17, 22]
