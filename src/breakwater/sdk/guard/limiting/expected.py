"""How long requests of each endpoint usually take, to know which cannot be done in time."""

from typing import Final

MAX_ENDPOINTS: Final = 500
STEP: Final = 0.05
"""How far one request moves the median of its endpoint."""
LEAST: Final = 10
"""Requests before a median is believed."""
FORGOTTEN_AFTER_S: Final = 1.0
"""Without a finished request for so long, nothing is known: or a slow minute would last for ever,
since refused requests teach nothing."""


class _Median:
    __slots__ = ("count", "seen_s", "value_s")

    def __init__(self, value_s: float, now_s: float) -> None:
        self.value_s = value_s
        self.seen_s = now_s
        self.count = 1


class ExpectedTimes:
    """A running median for each endpoint; O(1), a few dozen bytes each, at most 500 of them.

    The median and not the mean: one slow request in a hundred must not make the other
    ninety-nine look as if they could not be done.
    """

    def __init__(self) -> None:
        self._medians: dict[str, _Median] = {}

    def note(self, endpoint: str, took_s: float, now_s: float) -> None:
        """A request was served in so long."""
        median = self._medians.get(endpoint)
        if median is None:
            if len(self._medians) < MAX_ENDPOINTS:
                self._medians[endpoint] = _Median(took_s, now_s)
            return
        if now_s - median.seen_s > FORGOTTEN_AFTER_S:
            median.value_s, median.count = took_s, 0
        elif took_s > median.value_s:
            median.value_s *= 1 + STEP
        else:
            median.value_s /= 1 + STEP
        median.seen_s = now_s
        median.count += 1

    def expect_s(self, endpoint: str, now_s: float) -> float:
        """The usual time of this endpoint; 0 if it is not known."""
        median = self._medians.get(endpoint)
        if median is None or median.count < LEAST or now_s - median.seen_s > FORGOTTEN_AFTER_S:
            return 0.0
        return median.value_s
