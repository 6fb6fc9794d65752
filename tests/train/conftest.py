"""A learner over a tiny Whisper, and the batches it learns from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from modersmal.config import TrainConfig
from modersmal.corpus import Corpus
from modersmal.train.labels import Labeller
from modersmal.train.learner import Learner
from modersmal.train.loader import Loader, Workers
from modersmal.train.optim import freeze
from modersmal.train.plan import Clips, Plan
from modersmal.train.precision import choose_precision
from modersmal.train.reading import Reader
from modersmal.train.shapes import Shapes
from modersmal.whisper.load import load

CPU = torch.device("cpu")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Bits are the same for the same number of threads."""
    torch.set_num_threads(1)


@pytest.fixture
def make_learner(tiny_whisper) -> Callable[..., Learner]:
    def make(model=None, *, checkpointing=False, equal_rows=None, precision="auto", **config):
        whisper = load(str(model or tiny_whisper()))
        made = TrainConfig(**config)
        freeze(whisper.model, encoder=made.freeze_encoder)
        return Learner(
            whisper,
            made,
            device=CPU,
            precision=choose_precision(CPU, precision),
            checkpointing=checkpointing,
            equal_rows=equal_rows,
        )

    return make


@pytest.fixture
def make_loader(tiny_whisper, tiny_corpus) -> Callable[..., Loader]:
    def make(workers=0, *, clips=24, batch_s=8.0, whisper=None, language_token="sv", **shapes):
        split = Corpus.open(tiny_corpus(train=clips)).split("train")
        shapes = Shapes(**{"floor_s": 1.0, "step_s": 0.25} | shapes)
        known = Clips.of(split, np.ones(len(split), dtype=bool), speakers=shapes.same_speaker)
        plan = Plan(known, seed=0, batch_s=batch_s, shapes=shapes)
        whisper = whisper or load(str(tiny_whisper()))
        labeller = Labeller(whisper.tokenizer, whisper.vocabulary, language_token)
        reader = Reader(split, plan, labeller)
        return Loader(reader, workers if isinstance(workers, Workers) else Workers(workers))

    return make
