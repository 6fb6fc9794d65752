"""Speech to transcribe, and a cache of conversions of its own."""

from pathlib import Path

import numpy as np
import pytest

from modersmal.audio import decode
from modersmal.transcribe.engine import Engine

SPEECH = Path(__file__).parents[1] / "data" / "speech"


@pytest.fixture(scope="session")
def speech() -> list[np.ndarray]:
    """Thirty short Swedish sentences, spoken by espeak-ng."""
    return [decode(path).samples for path in sorted(SPEECH.glob("*.ogg"))]


@pytest.fixture(scope="session")
def engine(cache: Path) -> Engine:
    return Engine.open("bundled")
