"""How much there is to prepare, to learn from and to score: by a corpus, a rehearsal, or hours."""

from dataclasses import dataclass

import numpy as np

from modersmal.config import Recipe
from modersmal.corpus import Corpus
from modersmal.corpus.schema import CORPUS_FILE
from modersmal.rehearse.record import Record
from modersmal.store.workspace import Workspace

MEAN_S, _SPREAD = 4.7, 0.35  # of a clip of Common Voice; the spread is that of the logarithm
_TYPICAL_CLIPS = 20_000  # whose lengths stand for those of a corpus that is not known
_MOST_CLIPS = 100_000  # that are drawn


@dataclass(frozen=True)
class Amount:
    """Clips and seconds of audio by split; empty where they are not known. `train_s` are lengths
    like those that are trained on, (clips,)."""

    splits: dict[str, tuple[int, float]]
    train_s: np.ndarray
    source: str

    @property
    def clips(self) -> int:
        return sum(clips for clips, _ in self.splits.values())


def amount(
    recipe: Recipe, workspace: Workspace | None, record: Record | None, audio_hours: float | None
) -> Amount:
    """What is known of a recipe's data, by the surest of what there is."""
    folder = workspace.corpus(recipe.corpus_name) if workspace else None
    if audio_hours is not None:
        return _of_hours(recipe, audio_hours)
    if folder and (folder / CORPUS_FILE).is_file():
        corpus = Corpus.open(folder)
        splits = {name: corpus.split(name) for name in corpus.splits}
        known = {name: (len(one), one.duration_s) for name, one in splits.items()}
        lengths = splits["train"].durations_s if "train" in splits else np.zeros(0)
        return Amount(known, lengths, "the corpus")
    if record and record.splits.get("train", (0, 0.0))[0]:
        clips, seconds = record.splits["train"]
        return Amount(record.splits, _lengths(clips, seconds / clips), "the rehearsal's sources")
    return Amount({}, _lengths(_TYPICAL_CLIPS, MEAN_S), "clips as long as Common Voice's")


def _of_hours(recipe: Recipe, audio_hours: float) -> Amount:
    """Clips of usual lengths, split as sources without splits are."""
    seconds = 3600 * audio_hours
    shares = {"dev": recipe.data.dev_share, "test": recipe.data.test_share}
    shares = {"train": 1 - sum(shares.values())} | shares
    splits = {
        name: (max(1, round(share * seconds / MEAN_S)), share * seconds)
        for name, share in shares.items()
        if share
    }
    lengths = _lengths(splits["train"][0], MEAN_S)
    return Amount(splits, lengths, f"{audio_hours:g} h of clips as long as Common Voice's")


def _lengths(clips: int, mean_s: float) -> np.ndarray:
    """So many lengths of a usual distribution, in seconds: (clips,) float32."""
    random = np.random.default_rng(0)
    drawn = random.lognormal(np.log(mean_s) - _SPREAD**2 / 2, _SPREAD, min(clips, _MOST_CLIPS))
    return np.clip(drawn, 0.5, 30).astype(np.float32)
