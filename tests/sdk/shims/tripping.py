"""What the tests of the mended breaker share: how it opens."""

import pytest

from breakwater.sdk.shims import pybreaker as shim

OOPS = ValueError("oops")
OPEN_S = 60.0


def fail() -> None:
    """The callee is down."""
    raise OOPS


def opened(breaker: shim.CircuitBreaker) -> None:
    """Let it open by failures."""
    while breaker.current_state == shim.STATE_CLOSED:
        with pytest.raises((ValueError, shim.CircuitBreakerError)):
            breaker.call(fail)
