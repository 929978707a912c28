"""AIMD: one more while all is well, a tenth less when a call is dropped.

The rules and defaults of `AIMDLimit` in Netflix's concurrency-limits. It hears of overload only
by drops and timeouts, so it fills the callee's queue until something breaks, then backs off.
"""


class Aimd:
    """Additive increase, multiplicative decrease; O(1) for each sample.

    A sample that was dropped, or took longer than timeout_s, multiplies the limit by
    backoff_ratio; any other adds one if at least half of the limit was in use.
    """

    __slots__ = ("_backoff_ratio", "_maximum", "_minimum", "_timeout_s", "limit")

    def __init__(
        self,
        *,
        initial: int = 20,
        minimum: int = 20,
        maximum: int = 200,
        backoff_ratio: float = 0.9,
        timeout_s: float = 5.0,
    ) -> None:
        self.limit = initial
        self._minimum = minimum
        self._maximum = maximum
        self._backoff_ratio = backoff_ratio
        self._timeout_s = timeout_s

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: ARG002, FBT001 - see Limit
        """Learn from one finished call; returns the limit from now on."""
        limit = self.limit
        if did_drop or rtt_s > self._timeout_s:
            limit = int(limit * self._backoff_ratio)
        elif inflight * 2 >= limit:
            limit += 1
        self.limit = min(self._maximum, max(self._minimum, limit))
        return self.limit
