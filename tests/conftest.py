"""Shared fixtures and settings: anyio on asyncio, and properties that may take their time."""

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine draws or checks an example is no rule of ours, and it may be a busy one.
settings.register_profile(
    "unhurried", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """The one event loop the platform runs on."""
    return "asyncio"
