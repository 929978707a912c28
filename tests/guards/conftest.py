"""Fixtures of the tests of guards."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The only event loop in use."""
    return "asyncio"
