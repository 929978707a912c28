"""Faults on purpose without a platform: rules put into a service of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from breakwater.model import FaultKind, FaultRule, FaultRules

if TYPE_CHECKING:
    from breakwater.sdk import Service

HOUR_MS: Final = 3_600_000


@contextmanager
def faulted(service: "Service", *rules: FaultRule) -> Iterator[None]:
    """Let these rules, and no others, hold for the service within the block.

    A rule of another service or instance is as silent as it would be coming from the platform.
    """
    book = service.runtime.faults
    revision = book.stats().revision
    book.accept(_encode(FaultRules(revision=revision, rules=list(rules))))
    try:
        yield
    finally:
        book.accept(_encode(FaultRules(revision=revision, rules=[])))


def fault(
    service: "Service",
    kind: Literal["delay", "error", "hang"],
    *,
    point: Any = "outbound",
    **given: Any,
) -> FaultRule:
    """A rule for `service`, for an hour of its clock; `given`: further fields of FaultRule."""
    settings = service.settings
    fields = {
        "id": f"test-{kind}-{point}",
        "expires_ms": service.runtime.clock.now_ms() + HOUR_MS,
        **given,
    }
    return FaultRule(point=point, kind=FaultKind(kind), service=settings.service, **fields)


_encode = msgspec.json.Encoder().encode
