"""Who calls whom in the fleet, and how each of these calls is guarded.

The only place where a service gets a client: what is not in `EDGES` cannot be called. The rules
behind the numbers: a hop gives its callee less time than it has itself, so that the deepest guard
speaks first; a GET that found nobody at its address is tried once more on another copy, by the
first caller on the way that does so and by nobody below him; only the ranker, whose answers are
pure and whose queue is uneven, is asked a second time while the first answer is late; titles,
candidates, manifests and identities are kept for the time in which nobody answers. People are not
guarded from each other: the player's calls have no breaker.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.reference.errors import UnknownEdgeError
from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CommandConfig,
    HedgeConfig,
    RetryConfig,
    Service,
    StaleConfig,
)

if TYPE_CHECKING:
    from breakwater.sdk import Client  # imports aiohttp

MAX_PEOPLE: Final = 2000
_STALE_S: Final = 3600.0


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One service calling another. instead: what stands in for an answer, empty for nothing."""

    caller: str
    callee: str
    config: CommandConfig
    instead: str = ""

    @property
    def name(self) -> str:
        """As `gateway->account`."""
        return f"{self.caller}->{self.callee}"


def _guard(
    timeout_s: float,
    places: int,
    instead: str = "",
    *,
    retries: bool = False,
    hedged: bool = False,
    keeps: int = 0,
    is_person: bool = False,
) -> tuple[CommandConfig, str]:
    """The guard of an edge and what stands in; keeps: answers kept for when there is no new one."""
    config = CommandConfig(
        timeout_s=timeout_s,
        total_s=timeout_s if retries or hedged else None,
        breaker=None if is_person else BreakerConfig(),
        bulkhead=BulkheadConfig(max_concurrent=places),
        retry=RetryConfig(max_attempts=2, initial_s=0.0) if retries else None,
        hedge=HedgeConfig() if hedged else None,
        stale=StaleConfig(max_stale_s=_STALE_S, max_entries=keeps) if keeps else None,
    )
    return config, instead


_CALLS: Final = {
    "player": {
        "gateway": _guard(3.0, MAX_PEOPLE, is_person=True),
        "cdn": _guard(1.0, MAX_PEOPLE, "the next appliance of the steering answer", is_person=True),
    },
    "gateway": {
        "account": _guard(
            1.0,
            200,
            "who this token was when account last answered; else a guest, who may only look",
            retries=True,
            keeps=10_000,
        ),
        "session": _guard(1.0, 200, "nothing to go on with"),
        "personalization": _guard(
            1.0, 200, "popular titles, from the list shipped with the code", retries=True
        ),
        "catalogue": _guard(
            1.0,
            200,
            "the last description of each title; on a page, else its bare id",
            retries=True,
        ),
        "features": _guard(0.5, 100, "the event is lost"),
        "playback": _guard(1.0, 200, "for heartbeat and stop: said again later; a start fails"),
        "manifest": _guard(1.0, 50, retries=True),
    },
    "personalization": {
        "features": _guard(0.6, 100, "neutral features"),
        "ranker": _guard(0.6, 100, "popularity", hedged=True),
        "catalogue": _guard(
            0.6, 100, "the last such list, else the one shipped with the code", keeps=100
        ),
    },
    "playback": {
        "session": _guard(0.4, 100, "for reports: said again by the next; a start fails"),
        "manifest": _guard(
            0.5,
            100,
            "the last such manifest, else one written from the titles shipped with the code",
            retries=True,
            keeps=1000,
        ),
        "licence": _guard(0.5, 100),
        "steering": _guard(0.5, 100, "nearness alone, from the registry", retries=True),
    },
    "manifest": {
        "catalogue": _guard(
            0.3, 100, "the last description, else the one shipped with the code", keeps=2000
        ),
    },
    "licence": {
        "account": _guard(0.3, 100),
        "session": _guard(0.3, 100),
    },
    "session": {"features": _guard(0.35, 50, "the event is lost")},
    "steering": {"cdn": _guard(0.5, 20, "a missed poll is what steering looks for")},
    "cdn": {"origin": _guard(0.6, 50)},
}
EDGES: Final = {
    (caller, callee): Edge(caller=caller, callee=callee, config=config, instead=instead)
    for caller, callees in _CALLS.items()
    for callee, (config, instead) in callees.items()
}


def edges_of(caller: str) -> list[Edge]:
    """Whom a service calls."""
    return [edge for edge in EDGES.values() if edge.caller == caller]


def edges_to(callee: str) -> list[Edge]:
    """Who calls a service."""
    return [edge for edge in EDGES.values() if edge.callee == callee]


def upstream_of(callee: str) -> list[str]:
    """Services whose answers may depend on this one, nearest first, the player left out."""
    found: dict[str, None] = {}
    newest: Iterable[str] = (callee,)
    while newest:
        callers = [edge.caller for name in newest for edge in edges_to(name)]
        newest = [one for one in dict.fromkeys(callers) if one not in found and one != "player"]
        found.update(dict.fromkeys(newest))
    return list(found)


def client_of(service: Service, callee: str) -> "Client":
    """The guarded client of `service` for one of its callees; raises UnknownEdgeError."""
    caller = service.settings.service
    edge = EDGES.get((caller, callee))
    if edge is None:
        known = ", ".join(one.callee for one in edges_of(caller)) or "nobody"
        raise UnknownEdgeError(f"{caller} does not call '{callee}'; it calls {known}")
    return service.client(callee, config=edge.config)
