"""A training as far as its loader goes, in a process of its own: prints what it has read."""

import sys
from pathlib import Path

import numpy as np

from modersmal.corpus import Corpus
from modersmal.train.loader import Loader, Workers
from modersmal.train.plan import ContextRule, Plan
from modersmal.train.reading import Reader
from modersmal.whisper.load import load


def main(corpus: Path, model: str) -> None:
    split, whisper = Corpus.open(corpus).split("train"), load(model)
    plan = Plan(
        rows=np.arange(len(split)), durations_s=split.durations_s, row_groups=split.row_group_of,
        seed=0, batch_s=4.0, context=ContextRule(),
    )
    reader = Reader(split, plan, whisper.tokenizer, whisper.vocabulary, "sv")
    for batch in Loader(reader, Workers(2, processes=True)).steps(0, 10**9):
        print(batch.planned.step, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
