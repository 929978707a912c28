"""What guarded calls of gRPC share, on threads and on asyncio alike."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import grpc

from breakwater.sdk.attempt import Attempt, shortest_s
from breakwater.sdk.endpoints import Labels
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.grpc_status import classify, code_of_http, endpoint_of, text_pairs
from breakwater.sdk.guard import CommandConfig, Fallback
from breakwater.sdk.guard.travel.code import RetryOn
from breakwater.sdk.outbound import Outbound, guard_of

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

DEFAULT: Final = CommandConfig(timeout_s=1.0)
"""What a guard goes by when nothing is said."""
STREAM_S: Final = 86_400.0
"""A stream without a limit of its own is given a day."""


class Calls:
    """The calls of one channel; kind: makes the error of a call that ended with this code."""

    def __init__(self, outbound: Outbound, kind: Callable[[Any], Exception]) -> None:
        self.outbound = outbound
        self._kind = kind
        self._labels = Labels()

    def endpoint_of(self, details: Any) -> str:
        """What the call is for."""
        return self._labels.name(endpoint_of(details.method))

    def terms_of(self, details: Any) -> dict[str, Any]:
        """How faults act on the call."""
        return {
            "header": header_of(text_pairs(details.metadata)),
            "answer_for": self._injected,
            "late": lambda: self._kind(grpc.StatusCode.DEADLINE_EXCEEDED),
        }

    def _injected(self, _attempt: Attempt, status: int) -> Any:
        raise self._kind(code_of_http(status))

    def limit_s(self, details: Any) -> float | None:
        """How long an attempt with one answer may take."""
        return shortest_s(details.timeout, self.outbound.command.config.timeout_s)

    def told_of(self, details: Any, one: Attempt) -> tuple[float | None, tuple[Any, ...]]:
        """What the callee is told of an attempt: its time, and the context as metadata."""
        context = self.outbound.headers(None)
        timeout_s = told_s(details.timeout, one.left_s())
        return timeout_s, (*(details.metadata or ()), *context.items())


def outbound_to(
    service: "Service",
    peer: str,
    config: CommandConfig | None,
    *,
    fallback: Fallback | None,
    retry_on: RetryOn,
) -> Outbound:
    """The edge to the service `peer`, with a guard of its own."""
    command = guard_of(
        service.guards,
        peer,
        config or DEFAULT,
        group="grpc",
        fallback=fallback,
        retry_on=retry_on,
    )
    return Outbound(service.runtime, peer, command=command, classify=classify)


def stream_s(details: Any) -> float:
    """How long a stream may take."""
    return STREAM_S if details.timeout is None else float(details.timeout)


def told_s(given_s: float | None, left_s: float | None) -> float | None:
    """The timeout that gRPC is told; None for a stream that has nothing but its day."""
    limit_s = shortest_s(given_s, left_s)
    return None if limit_s is None or limit_s > STREAM_S / 2 else limit_s
