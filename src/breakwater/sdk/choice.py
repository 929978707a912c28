"""Between a call and the balancer: where an attempt goes, and what its end says of the callee."""

from typing import Final

from breakwater.model import Instance, Status
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.calls import NO_NODE
from breakwater.sdk.discovery import Evidence, Resolver
from breakwater.sdk.errors import NoInstanceError
from breakwater.sdk.guard.verdict import Verdict

STICKY: Final = "breakwater-sticky"
"""Header that says by which key a request sticks to an instance; it is not sent."""


def choose(
    attempt: Attempt, resolver: Resolver, service: str, sticky: str | None = None
) -> Instance | None:
    """Where the attempt goes from now on; None if no instance of `service` is known.

    Raises NoInstanceError if there are some and none listens.
    """
    pick = resolver.pick(service, attempt.tried, sticky, may_try=attempt.may_repeat)
    if pick is not None:
        return attempt.go_to(pick)
    if not resolver.is_refusing(service):
        return None
    attempt.node = NO_NODE
    raise NoInstanceError(
        service,
        endpoint=attempt.endpoint,
        refusing=len(resolver.instances(service)),
        retry_after_s=resolver.trial_in_s(service),
    )


def evidence_of(
    attempt: Attempt, verdict: Verdict, error: BaseException | None, status: Status, detail: str
) -> Evidence:
    """What the end of an attempt says of the instance it went to.

    Nothing, if the caller left, had no time, was asked too much of (429), or failed it on purpose
    or by an error of its own; except that no fault rule makes a connection be refused.
    """
    if status is Status.CONNECTION_ERROR and detail in _HARD and not attempt.was_answered:
        return Evidence.REFUSED
    if attempt.injected or verdict in _SAY_NOTHING:
        return Evidence.NOTHING
    if verdict is Verdict.SUCCESS:
        return Evidence.SUCCESS
    if error is not None and not isinstance(error, Exception):
        return Evidence.NOTHING
    return _evidence_of_failure(verdict, status, detail)


def _evidence_of_failure(verdict: Verdict, status: Status, detail: str) -> Evidence:
    if detail.startswith("http_"):
        return Evidence.NOTHING if status is Status.THROTTLED else Evidence.FAILURE
    if verdict is Verdict.TIMEOUT or status is Status.TIMEOUT:
        return Evidence.NOTHING if detail in _OWN_TIME else Evidence.TIMEOUT
    return Evidence.FAILURE if status in _CALLEES or detail == "bad_result" else Evidence.NOTHING


_HARD: Final = frozenset(("refused", "reset", "unreachable"))
_SAY_NOTHING: Final = frozenset((Verdict.CANCELLED, Verdict.IGNORED, Verdict.NOT_TRIED))
_OWN_TIME: Final = frozenset(("pool_timeout", "deadline", "past_deadline"))
_CALLEES: Final = frozenset((Status.CONNECTION_ERROR, Status.UNAVAILABLE))
