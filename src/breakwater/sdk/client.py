"""The answer of a guarded call, and how outcomes are judged; no HTTP library is needed here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, overload

import msgspec

from breakwater.model import Status, status_of_http
from breakwater.sdk.guard import BreakerConfig, BreakerStats, BulkheadStats

T = TypeVar("T")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a guarded call gives back.

    From the callee: status, body, headers (names in lower case), instance. From a fallback:
    `from_fallback` is True, `value` is what the fallback gave, status is 200, body is empty.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    instance: str = "none"
    from_fallback: bool = False
    value: Any = None

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, type: type[T]) -> T: ...

    def json(self, type: Any = Any) -> Any:  # noqa: A002 - reads as msgspec's own keyword
        """The body decoded from JSON as `type`; a fallback's value comes back as it is.

        Raises msgspec.DecodeError (ValidationError if it is JSON of another shape).
        """
        return self.value if self.from_fallback else msgspec.json.decode(self.body, type=type)


class ClientStats(msgspec.Struct, frozen=True, kw_only=True):
    """One client's calls since start, and the state of its guard."""

    service: str
    calls: int
    attempts: int
    fallbacks: int
    fallback_failures: int
    past_deadline: int
    bulkhead: BulkheadStats
    breaker: BreakerStats | None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How one client calls: limit of an attempt in seconds, further attempts, bounds, breaker.

    retries: further attempts after a connection error, on another instance, for methods that may
    be repeated. breaker None: none.
    """

    timeout_s: float = 1.0
    retries: int = 0
    max_concurrent: int = 100
    breaker: BreakerConfig | None = BreakerConfig()


REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS"))


def callee_failed(code: int) -> bool:
    """Whether an answer counts against the callee: any 5xx, 408 and 429; other 4xx are answers."""
    return code >= 500 or code in (408, 429)


def status_of_answer(code: int) -> tuple[Status, str]:
    """Call status and detail of an HTTP answer."""
    status = status_of_http(code)
    return status, "" if status is Status.SUCCESS else f"http_{code}"
