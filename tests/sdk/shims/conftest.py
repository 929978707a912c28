"""Registries whose time is the fake clock's, and breakers of one."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.sdk.shims.tripping import OPEN_S

from breakwater.sdk import Guards
from breakwater.sdk.shims import pybreaker as shim
from breakwater.testing import FakeClock


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """A registry whose time is the fake clock's."""
    return Guards(clock=clock, sleep=clock.advance)


@pytest.fixture
def breaker_of(guards: Guards) -> Callable[..., shim.CircuitBreaker]:
    """Makes breakers that open at the second failure, for a minute."""

    def make(**settings: Any) -> shim.CircuitBreaker:
        given: dict[str, Any] = {"fail_max": 2, "reset_timeout": OPEN_S, **settings}
        return shim.CircuitBreaker(**given, guards=guards)

    return make
