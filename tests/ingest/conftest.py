"""Fixtures of the intake's tests."""

import pytest
from tests.ingest.memory_sink import MemorySink

from breakwater.testing import FakeClock


@pytest.fixture
def sink() -> MemorySink:
    """An empty sink with a step of one second."""
    return MemorySink()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands on a whole second."""
    return FakeClock()
