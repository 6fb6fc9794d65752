"""Random streams that are functions of their keys: nothing of them is stored."""

import numpy as np


def stream(*key: int) -> np.random.Generator:
    """A random stream that is a function of `key` alone, of whole numbers from 0."""
    return np.random.default_rng(key)
