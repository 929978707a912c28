"""Fixtures of the tests of the testing aids."""

import pytest

from breakwater.testing import Rehearsal


@pytest.fixture
def rehearsal(request: pytest.FixtureRequest) -> Rehearsal:
    """A rehearsal of the test's own name."""
    return Rehearsal(request.node.name)
