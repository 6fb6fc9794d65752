"""From what a rehearsal measured to what the real run is made of: the parts of its stages."""

import numpy as np

from modersmal.config import TrainConfig
from modersmal.rehearse.measure import Decoding, Training
from modersmal.rehearse.result import Part
from modersmal.rehearse.standin import Steps, evenly
from modersmal.train.checkpoint import Name, Retention
from modersmal.train.dev import TYPICAL_CLIPS
from modersmal.whisper.decode import WINDOW_S


def scoring_parts(
    name: str, durations_s: np.ndarray, decoding: Decoding, first_s: float = 0.0
) -> list[Part]:
    """Scoring a model on a split; `first_s` is what the first model of a process takes more."""
    clips = len(durations_s)
    return [
        Part(f"begin with {name}", 1, decoding.fixed_s + first_s),
        Part(f"decode a clip with {name}", clips, decoding.seconds(durations_s) / clips),
    ]


def training_parts(
    config: TrainConfig,
    lengths_s: dict[str, np.ndarray],
    training: Training,
    decoding: Decoding | None,
) -> list[Part]:
    """Training, with all of its steps, dev scores and checkpoints.

    `decoding` is that of the trained model, where there is something to score.
    """
    steps = Steps.of(config, lengths_s["train"])
    outside_s = training.chief.outside_s
    parts = []
    for full, what in ((False, "a step on short contexts"), (True, "a step on 30 s")):
        padded_s = steps.padded_s[steps.full == full]
        if len(padded_s):
            each_s = training.s_per_padded_s(full=full) * float(padded_s.mean())
            parts.append(Part(what, len(padded_s), each_s))
    dev_s = lengths_s.get("dev")
    if decoding and dev_s is not None:
        dev_s = dev_s[dev_s <= WINDOW_S]
        each_s = decoding.seconds(evenly(dev_s, min(config.dev_clips or TYPICAL_CLIPS, len(dev_s))))
        parts.append(Part("score dev", len(dev_scores(config)) + config.mixtures, each_s))
        outside_s -= decoding.seconds(training.dev_s)
    # The last checkpoint was written at the end of what was measured, too.
    count = len(saves(config, scored=dev_s is not None)) - 1
    if count:
        parts.append(Part("save a checkpoint", count, training.chief.save_s))
    return [Part("begin, and write the model", 1, max(0.0, outside_s)), *parts]


def dev_scores(config: TrainConfig) -> list[int]:
    """The steps after which dev is scored."""
    every = config.evaluate_every
    regular = range(every, config.max_steps + 1, every) if every else ()
    return sorted({*regular, config.max_steps})


def saves(config: TrainConfig, *, scored: bool) -> list[int]:
    """The steps after which a checkpoint is written, where every dev score is the best so far."""
    regular = range(config.save_every, config.max_steps + 1, config.save_every)
    return sorted({*regular, config.max_steps, *(dev_scores(config) if scored else ())})


def most_checkpoints(config: TrainConfig, *, scored: bool) -> tuple[int, int]:
    """How many checkpoints there are when most are, the one that is being written included.

    First where every dev score is better than those before it, then where an early one stays best.
    """
    scores = set(dev_scores(config)) if scored else set()
    kept, retention = list[Name](), Retention.of(config)
    best = set[int]()
    most = 0
    for step in saves(config, scored=scored):
        kept.append(Name(step, 0))
        most = max(most, len(kept))
        best = {step} if step in scores else best
        gone = retention.superseded(kept, best)
        kept = [name for name in kept if name not in gone]
    worst = retention.most + 1 + (1 if scored else 0)
    return most, max(most, min(worst, len(saves(config, scored=scored))))
