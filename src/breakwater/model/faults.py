"""A fault as the platform hands it out and a service obeys it.

`chaos` writes rules, `sdk.faults` reads them; neither sees the other, so the wire form lives here.
"""

from enum import StrEnum
from typing import Final, Literal, get_args

import msgspec


class FaultKind(StrEnum):
    """What a rule does to the calls or the process in its scope."""

    DELAY = "delay"
    ERROR = "error"
    HANG = "hang"
    BURN = "burn"


CallPoint = Literal["inbound", "outbound", "cache", "database", "queue", "pool"]
"""Where a rule may act on a call."""

CALL_POINTS: Final[tuple[CallPoint, ...]] = get_args(CallPoint)


class FaultRule(msgspec.Struct, frozen=True, kw_only=True):
    """One switched-on injection point; it ends by itself at `expires_ms`, whoever forgot it.

    point: `inbound` acts where `service` receives a call, inside its server-side clock;
    `outbound` acts where `service` sends one, inside its client-side clock but outside the
    callee's, which is how a slow network looks; `process` acts on the process itself. What
    `service` asks of a `cache`, a `database` or a `queue` is hit at the point of that name, and
    at `pool` its wait for a connection to one of them.
    peer: the other end of the edge: the caller for inbound, the callee for outbound, else the
    name the service gave its cache, database or queue.
    percent: share of the calls in scope, 0 to 100. headers: all must be equal on the request.
    """

    id: str
    point: Literal["inbound", "outbound", "process", "cache", "database", "queue", "pool"]
    kind: FaultKind
    service: str
    expires_ms: int
    peer: str | None = None
    instance: str | None = None
    endpoint: str | None = None
    percent: float = 100.0
    headers: dict[str, str] = {}
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    status: int = 500
    threads: int = 2


class FaultRules(msgspec.Struct, frozen=True, kw_only=True):
    """All rules for one service at one revision, the answer of the long poll."""

    revision: int
    rules: list[FaultRule]
