"""One call and its attempts, as every HTTP client adapter needs them.

What was asked, how long it has, and what its end says about the callee: pure, no HTTP library.
"""

from collections.abc import Mapping

import msgspec

from breakwater.model import Status
from breakwater.sdk.calls import NO_NODE
from breakwater.sdk.client import callee_failed
from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import CallError, CallFailedError


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the user asked for it."""

    method: str
    path: str
    endpoint: str
    body: bytes | None
    headers: Mapping[str, str]
    params: Mapping[str, str] | None
    timeout_s: float
    context: CallContext
    pinned: str | None


class Attempt:
    """One attempt under way."""

    __slots__ = ("injected", "may_retry", "node", "number", "start_s", "stop_s", "was_cut_short")

    def __init__(
        self, number: int, start_s: float, stop_s: float, *, may_retry: bool, was_cut_short: bool
    ) -> None:
        self.number = number
        self.start_s = start_s
        self.stop_s = stop_s
        self.may_retry = may_retry
        self.was_cut_short = was_cut_short
        self.node = NO_NODE
        self.injected = False


def needs_fallback(error: CallError) -> bool:
    """Whether the callee gave no answer; a 4xx other than 408 and 429 is one."""
    if not isinstance(error, CallFailedError):
        return True
    return (
        callee_failed(error.code)
        if error.code is not None
        else (error.status is not Status.BAD_REQUEST)
    )


def verdict(error: CallFailedError, attempt: Attempt) -> bool | None:
    """What a call without answer says of the callee; None: nothing.

    A time limit that the caller's deadline cut to less than half says nothing, nor does a call
    that had nobody to go to or a URL that cannot be sent.
    """
    if error.status is Status.TIMEOUT and error.code is None and attempt.was_cut_short:
        return None
    if error.detail in ("no_instance", "invalid_url"):
        return None
    return callee_failed(error.code) if error.code is not None else True
