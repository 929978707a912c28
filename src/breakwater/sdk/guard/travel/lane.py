"""Whether the fast roads of a command are open, and on what terms."""

from collections.abc import Callable
from typing import Any, Final

from breakwater.sdk.context import CallContext, narrowed

INF: Final = float("inf")
OPEN: Final = "breaker_open"
ContextAt = Callable[[CallContext, float], CallContext]


class Lane:
    """Whether the fast roads of a command are open, and on what terms; moved by the command.

    plain, timed: the closed breaker's permit, None while that road is not for use. slow_s: a call
    that took longer must be settled with the breaker at once. shut_until_s: calls up to then are
    refused without further ado, for the reason shut_for. timeout_s: of the one attempt of the timed
    road; context_at: what it is run with.
    """

    __slots__ = (
        "context_at",
        "plain",
        "shut_for",
        "shut_until_s",
        "slow_s",
        "timed",
        "timeout_s",
    )

    def __init__(self) -> None:
        self.context_at: ContextAt = narrowed
        self.plain: Any = None
        self.timed: Any = None
        self.slow_s = INF
        self.shut_until_s = -INF
        self.shut_for = OPEN
        self.timeout_s = INF
