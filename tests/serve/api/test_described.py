"""The server is as its OpenAPI description says, whatever it is sent."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from api_server import Running
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# Of a form no schema says what a recording is, nor tells a number from its letters.
UNSAYABLE = [positive_data_acceptance, negative_data_rejection]


@pytest.fixture
def described(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def wrong(operation: Any, mode: GenerationMode, examples: int) -> Iterator[str]:
    """What one operation answers that its description does not say."""

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def as_described(case: Any) -> None:
        form = case.media_type == "multipart/form-data"
        case.call_and_validate(timeout=60, excluded_checks=UNSAYABLE if form else [])

    try:
        as_described()
    except Unsatisfiable:  # it takes nothing that could be wrong
        return
    except BaseExceptionGroup as group:
        yield from (str(one) for one in group.exceptions)
    except AssertionError as error:
        yield str(error)


@pytest.mark.parametrize(
    ("mode", "examples"),
    [
        (GenerationMode.POSITIVE, 5),
        pytest.param(GenerationMode.POSITIVE, 60, marks=pytest.mark.chaos),
        pytest.param(GenerationMode.NEGATIVE, 20, marks=pytest.mark.chaos),
    ],
)
def test_every_route_is_as_described(described: Any, mode: GenerationMode, examples: int) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 15
    found = {one.label: list(wrong(one, mode, examples)) for one in operations}
    assert {label: said for label, said in found.items() if said} == {}
