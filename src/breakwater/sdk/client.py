"""The answer of a guarded call, and the counts of a client; no HTTP library is needed here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

if TYPE_CHECKING:
    from breakwater.sdk.guard import BreakerStats, BulkheadStats

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
    bulkhead: "BulkheadStats | None"
    breaker: "BreakerStats | None"
