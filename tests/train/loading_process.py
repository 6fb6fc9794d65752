"""A training as far as its loader goes, in a process of its own: prints what it has read."""

import sys
from pathlib import Path

import numpy as np

from modersmal.corpus import Corpus
from modersmal.train.labels import Labeller
from modersmal.train.loader import Loader, Workers
from modersmal.train.plan import Clips, Plan
from modersmal.train.reading import Reader
from modersmal.train.shapes import Shapes
from modersmal.whisper.load import load


def main(corpus: Path, model: str) -> None:
    split, whisper = Corpus.open(corpus).split("train"), load(model)
    clips = Clips.of(split, np.ones(len(split), dtype=bool))
    plan = Plan(clips, seed=0, batch_s=4.0, shapes=Shapes())
    reader = Reader(split, plan, Labeller(whisper.tokenizer, whisper.vocabulary, "sv"))
    for batch in Loader(reader, Workers(2, processes=True)).steps(0, 10**9):
        print(batch.planned.step, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
