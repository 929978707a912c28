"""A clock that stands still until a test moves it."""


class FakeClock:
    """Wall and monotonic time that advance together, and only by `advance`."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = float(now_ms)
        self._monotonic_s = 1000.0

    def now_ms(self) -> int:
        """The pretended wall-clock time in milliseconds."""
        return int(self._now_ms)

    def monotonic_s(self) -> float:
        """The pretended monotonic time in seconds."""
        return self._monotonic_s

    def leap(self, seconds: float) -> None:
        """Set the wall clock ahead, or back when negative; no time passes."""
        self._now_ms += seconds * 1000.0

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._now_ms += seconds * 1000.0
        self._monotonic_s += seconds

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once: what sync code is given in place of `time.sleep`."""
        self.advance(max(0.0, seconds))
