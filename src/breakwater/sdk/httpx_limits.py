"""How long a call of httpx may take: its time limits, each no longer than the attempt has left.

httpx looks a limit up once for the head of a response and once for its body, and gives it to every
read; a server that sends a byte now and then would outlive any deadline. So what is looked up here
is a number that can tell, before each read, what has become of it since.
"""

from typing import Any

from breakwater.sdk.attempt import Attempt, shortest_s


class Left(float):
    """Seconds of a limit when it was looked up; `now_s` says how many there are still."""

    __slots__ = ("attempt", "own_s")
    attempt: Attempt
    own_s: float | None
    """What the user allows for one read or write."""

    def now_s(self) -> float | None:
        """Seconds that the next read or write may take, None without a limit.

        Raises TimeoutError, or DeadlineExceededError in a body, when none are left.
        """
        return shortest_s(self.attempt.step_s(), self.own_s)


class Limits(dict[str, float | None]):
    """The time limits that one attempt hands to httpx."""

    def __init__(self, given: dict[str, float | None], attempt: Attempt) -> None:
        super().__init__(given)
        self._attempt = attempt

    def get(self, key: str, default: Any = None) -> Any:
        """The limit for `connect`, `read`, `write` or `pool`; None for none."""
        own_s = super().get(key, default)
        limit_s = shortest_s(self._attempt.limit_s(), own_s)
        if limit_s is None:
            return None
        left = Left(limit_s)
        left.attempt, left.own_s = self._attempt, own_s
        return left
