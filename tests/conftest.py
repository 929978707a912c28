"""Shared fixtures: tests written with anyio run on asyncio."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The one event loop the platform runs on."""
    return "asyncio"
