"""Every error that a user can meet is one of a tree, and knows its exit code."""

import inspect

import pytest

from modersmal import errors
from modersmal.errors import ModersmalError, Stopped, nearest


def test_one_tree() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    kinds = [kind for kind in classes if issubclass(kind, Exception)]
    assert all(issubclass(kind, ModersmalError) for kind in kinds)
    assert all(kind.__doc__ for kind in kinds)
    assert {kind.exit_code for kind in kinds if not issubclass(kind, Stopped)} == {1}
    assert Stopped.exit_code == 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_step", " (did you mean 'max_steps'?)"),
        ("MAX_STEPS", ""),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_nearest(name: str, hint: str) -> None:
    assert nearest(name, ["max_steps", "seed"]) == hint
