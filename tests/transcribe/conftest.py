"""Speech to transcribe, and a cache of conversions of its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modersmal.audio import decode
from modersmal.transcribe.engine import Engine

SPEECH = Path(__file__).parents[1] / "data" / "speech"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MODERSMAL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def speech() -> list[np.ndarray]:
    """Thirty short Swedish sentences, spoken by espeak-ng."""
    return [decode(path).samples for path in sorted(SPEECH.glob("*.ogg"))]


@pytest.fixture(scope="session")
def engine(cache: Path) -> Engine:
    return Engine.open("bundled")
