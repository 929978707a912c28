"""Fixtures of the intake's tests."""

import pytest
from tests.ingest.memory_sink import MemorySink

from breakwater.ingest import warm_up
from breakwater.testing import FakeClock


@pytest.fixture(scope="session", autouse=True)
def loops() -> None:
    """Compile the loops over payloads before anything is timed."""
    warm_up()


@pytest.fixture
def sink() -> MemorySink:
    """An empty sink with a step of one second."""
    return MemorySink()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands on a whole second."""
    return FakeClock()
