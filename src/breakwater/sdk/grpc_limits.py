"""How long a gRPC call may take, for both adapters: what its caller says, and the guard."""

from typing import Final

from breakwater.sdk.guard import CommandConfig

DEFAULT: Final = CommandConfig(timeout_s=1.0)
"""What a guard goes by when nothing is said."""
STREAM_S: Final = 86_400.0
"""A stream without a limit of its own is given a day."""


def shortest_s(*limits_s: float | None) -> float | None:
    """The limit that ends first, None where there is none."""
    return min((limit_s for limit_s in limits_s if limit_s is not None), default=None)


def told_s(given_s: float | None, left_s: float | None) -> float | None:
    """The timeout that gRPC is told; None for a stream that has nothing but its day."""
    limit_s = shortest_s(given_s, left_s)
    return None if limit_s is None or limit_s > STREAM_S / 2 else limit_s
