"""Fakes for tests, ours and our users': a clock that moves only when told to."""

from breakwater.testing.clock import FakeClock

__all__ = ["FakeClock"]
