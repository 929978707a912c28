"""Fixtures of the tests of the API."""

import pytest
from tests.metrics.api.graphing import Graphs


@pytest.fixture
def graphs() -> Graphs:
    """An endpoint of its own for every test."""
    return Graphs()
