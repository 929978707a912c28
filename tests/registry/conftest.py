"""What every test of the registry begins with."""

import pytest

from breakwater.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()
