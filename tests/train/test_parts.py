import json
import shutil

import pytest
import torch

from modersmal.config import parse_recipe
from modersmal.corpus import Corpus
from modersmal.train.parts import set_up
from modersmal.train.ranks import Ranks


@pytest.mark.parametrize("knew", [True, False])
def test_the_text_before_is_for_models_that_are_heard_in_windows(
    knew, tiny_whisper, tiny_corpus, tmp_path
):
    base = shutil.copytree(tiny_whisper(terse=True), tmp_path / "base")
    (base / "modersmal.json").write_text(json.dumps({"context": "dynamic", "windows": knew}))
    recipe = parse_recipe(
        {
            "language": "sv",
            "model": str(base),
            "train": {"packed_share": 1.0, "full_share": 0.0, "prompt_share": 1.0},
        }
    )
    parts = set_up(recipe, Corpus.open(tiny_corpus()), torch.device("cpu"), Ranks())
    samples = [one for step in range(4) for one in parts.plan.batch(step).samples if one.rows]
    assert any(one.previous for one in samples) == knew
