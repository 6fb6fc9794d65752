"""A corpus is prepared by one at a time."""

from pathlib import Path

import pytest
from making import contents, simple_release

from modersmal.corpus.prepare import prepare
from modersmal.corpus.unfinished import alone
from modersmal.errors import Held


def test_of_two_who_prepare_a_corpus_one_is_refused(tmp_path: Path) -> None:
    source, to = simple_release(tmp_path / "sv-SE"), tmp_path / "corpora" / "sv"
    with alone(to), pytest.raises(Held, match="another process makes"):
        prepare([str(source)], to)
    made = prepare([str(source)], to)
    before = contents(to)
    with alone(to):  # a finished one is taken as it is
        assert prepare([str(source)], to).corpus.hash == made.corpus.hash
    assert contents(to) == before
