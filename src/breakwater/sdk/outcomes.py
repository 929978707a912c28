"""What the end of a call over any client library means: its status, and what it says of the callee.

Pure: no library is imported. An adapter adds how it reads the errors of its own library.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Any, Final

from breakwater.model import Status, status_of_http
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
)
from breakwater.sdk.faults import InjectedFaultError
from breakwater.sdk.guard.verdict import Verdict

Classify = Callable[[BaseException], tuple[Status, str] | None]
"""Status and detail of an error of the adapter's library; None: the rules for all decide."""

REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods of requests that may be sent again without being asked."""

NOBODY: Final = frozenset(("no_instance", "all_refused"))
"""Details of calls that had nobody to go to."""

SAYS_NOTHING: Final = NOBODY | {"invalid_request"}
"""Those, and details of calls that could not be sent whoever was there."""


class AnswerFailedError(CallFailedError):
    """The callee answered, and the answer counts as a failure; `response` is that answer.

    Retry rules and fallbacks see this error; if neither helps, the caller is given the response.
    discard: called with no arguments when nobody will read it; may give an awaitable.
    """

    def __init__(
        self,
        status: Status,
        *,
        service: str,
        endpoint: str,
        code: int | None,
        detail: str,
        response: Any,
        discard: Callable[[], Any],
        instance: str = "none",
    ) -> None:
        super().__init__(
            status, service=service, endpoint=endpoint, code=code, detail=detail, instance=instance
        )
        self.response = response
        self.discard = discard


def callee_failed(code: int) -> bool:
    """Whether an answer counts against the callee: any 5xx, 408 and 429; other 4xx are answers."""
    return code >= 500 or code in (408, 429)


def status_of_answer(code: int) -> tuple[Status, str]:
    """Call status and detail of an HTTP answer."""
    status = status_of_http(code)
    return status, "" if status is Status.SUCCESS else f"http_{code}"


def status_of_error(error: BaseException, classify: Classify | None = None) -> tuple[Status, str]:
    """Call status and detail of an attempt that ended in `error`."""
    if not isinstance(error, Exception):  # the caller left, or the process is ending
        return Status.CANCELLED, ""
    if isinstance(error, CallError | InjectedFaultError):
        return _status_of_ours(error)
    found = None if classify is None else classify(error)
    if found is not None:
        return found
    if isinstance(error, TimeoutError):
        return Status.TIMEOUT, "attempt_timeout"
    if isinstance(error, OSError):
        return Status.CONNECTION_ERROR, connection_detail(error)
    return Status.UNEXPECTED_ERROR, type(error).__name__


def _status_of_ours(error: CallError | InjectedFaultError) -> tuple[Status, str]:
    if isinstance(error, InjectedFaultError):
        return status_of_answer(error.status)
    if isinstance(error, AttemptTimedOutError):
        return Status.TIMEOUT, "deadline" if error.was_cut_short else "attempt_timeout"
    if isinstance(error, DeadlineExceededError):
        return Status.TIMEOUT, "past_deadline"
    return error.status, getattr(error, "reason", getattr(error, "detail", ""))


def connection_detail(error: BaseException) -> str:
    """`refused`, `reset`, `unreachable`, or the name of the error, from it or what caused it."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            break
        number = getattr(cause, "errno", None)
        if isinstance(number, int) and number in _ERRNO:
            return _ERRNO[number]
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def verdict_of(error: Exception) -> Verdict | None:
    """What the end of an attempt says of the callee; None: the guard's own rules.

    An answer of 4xx other than 408 and 429 is an answer.
    """
    marked = getattr(error, _MARK, None)
    if isinstance(marked, Verdict):
        return marked
    if isinstance(error, InjectedFaultError):
        return Verdict.FAILURE if callee_failed(error.status) else Verdict.SUCCESS
    if not isinstance(error, CallFailedError):
        return None
    if error.detail in SAYS_NOTHING:
        return Verdict.IGNORED
    if not isinstance(error.code, int):  # with errors that are gRPC's too, it is a method
        return None
    return Verdict.FAILURE if callee_failed(error.code) else Verdict.SUCCESS


def mark(error: Exception, status: Status, detail: str, *, was_cut_short: bool) -> None:
    """Note on an error of a library what it says of the callee, for `verdict_of` to read.

    Our own errors say so themselves. A time limit cut short by a near deadline says nothing, nor
    does what the caller did wrong.
    """
    if isinstance(error, CallFailedError | CallRefusedError | InjectedFaultError):
        return
    if status is Status.TIMEOUT:
        setattr(error, _MARK, Verdict.CANCELLED if was_cut_short else Verdict.TIMEOUT)
    elif status is Status.CANCELLED:
        setattr(error, _MARK, Verdict.CANCELLED)
    elif status in _CALLERS_OWN or detail in SAYS_NOTHING:
        setattr(error, _MARK, Verdict.IGNORED)


def mark_answer(error: Exception, code: int) -> None:
    """Note on an error that stands for an HTTP answer what that answer says of the callee."""
    setattr(error, _MARK, Verdict.FAILURE if callee_failed(code) else Verdict.SUCCESS)


def is_connection_error(error: Exception) -> bool:
    """Whether nothing of the call can have arrived, or its answer was lost on the way."""
    return isinstance(error, CallFailedError) and error.status is Status.CONNECTION_ERROR


def needs_fallback(error: Exception) -> bool:
    """Whether the callee gave no answer; a 4xx other than 408 and 429 is one."""
    verdict = verdict_of(error)
    if verdict is Verdict.IGNORED:
        return getattr(error, "detail", "") in NOBODY
    return verdict is not Verdict.SUCCESS


_CALLERS_OWN: Final = frozenset((Status.BAD_REQUEST, Status.ACCESS_DENIED))


def translated(
    error: CallError, theirs: type[Exception], kinds: Mapping[type[CallError], type[CallError]]
) -> CallError:
    """The error as one that the users of a library expect, with all it had to say.

    theirs: what they expect; kinds: the class that is both, for each of ours.
    """
    if isinstance(error, theirs):
        return error
    for ours, both in kinds.items():
        if isinstance(error, ours):
            made = both.__new__(both)
            made.args = error.args
            made.__dict__.update(error.__dict__)
            return made
    return error


_MARK: Final = "breakwater_verdict"
_DEEPEST: Final = 12
_ERRNO: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}
