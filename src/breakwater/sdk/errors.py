"""What a call through the SDK can end in, besides an answer.

UnavailableError (model)
├── CallError                 one guarded call gave no answer; carries service, endpoint, status
│   ├── CallFailedError       it was tried: the callee said no, broke, or took too long
│   │   ├── AttemptTimedOutError  by the guard's own limit, which a near deadline may shorten
│   │   ├── NoInstanceError       there was nobody to go to: none is known, or all refuse
│   │   └── BadResultError    an answer came, and the command's `is_failure` says it is none
│   ├── CallRefusedError      this process refused it: breaker open or too many calls at once
│   └── DeadlineExceededError no time was left, so it was not sent
└── PlatformError             the Breakwater platform did not answer a service's background thread
InvalidInputError (model)
├── SettingsError             an argument or environment variable of the SDK cannot be used
└── IllegalTransitionError    a breaker was ordered into a state that may not follow its own
BreakwaterError (model)
└── InjectedFaultError        a fault rule of the platform says that this call fails

A `CallError` is what a fallback is given. Messages are put together only when somebody reads
them: during an outage these errors are raised thousands of times a second.
"""

from typing import TYPE_CHECKING, Any, Final

from breakwater.model import (
    BreakwaterError,
    FaultRule,
    InvalidInputError,
    Status,
    UnavailableError,
)


class CallError(UnavailableError):
    """One guarded call ended without an answer that may be used.

    service: who was called. endpoint: what for. status: the outcome as it is recorded.
    """

    def __init__(self, status: Status, *, service: str, endpoint: str = "") -> None:
        self.status = status
        self.service = service
        self.endpoint = endpoint

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle by fields, so that it can leave a worker process."""
        return (_rebuilt, (type(self), self.__dict__.copy()))

    def __str__(self) -> str:
        """The message, put together when it is read."""
        return f"call to {self._callee()} ended with {self.status}"

    def _callee(self) -> str:
        return f"{self.service} ({self.endpoint})" if self.endpoint else self.service


class CallFailedError(CallError):
    """The call was tried and failed.

    code: the HTTP status of the answer, None if none came. body: what came with it.
    detail: a short word for the reason, the `ipc.status.detail` tag of the record. retry_after_s:
    how long the callee asked to be left alone.
    """

    def __init__(
        self,
        status: Status,
        *,
        service: str,
        endpoint: str = "",
        code: int | None = None,
        body: bytes = b"",
        detail: str = "",
        instance: str = "none",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(status, service=service, endpoint=endpoint)
        self.retry_after_s = retry_after_s
        self.code = code
        self.body = body
        self.detail = detail
        self.instance = instance

    def __str__(self) -> str:
        """The message, put together when it is read."""
        answer = f"HTTP {self.code}" if self.code is not None else self.detail or "no answer"
        return f"call to {self._callee()} failed: {self.status} ({answer})"


class AttemptTimedOutError(CallFailedError):
    """An attempt ran into the guard's limit; `was_cut_short` if a near deadline left half or less.

    A limit that was cut short says nothing of the callee.
    """

    def __init__(self, service: str, *, was_cut_short: bool) -> None:
        super().__init__(Status.TIMEOUT, service=service, detail="attempt_timeout")
        self.was_cut_short = was_cut_short


class NoInstanceError(CallFailedError):
    """There was nobody to send the call to, so it says nothing of how any instance fares.

    detail: `no_instance`, none is known (or not the one that was asked for), or `all_refused`:
    every instance refused connections several times in a row, and the next trial is in
    retry_after_s.
    """

    def __init__(
        self,
        service: str,
        *,
        endpoint: str = "",
        instance: str = "none",
        refusing: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            Status.UNAVAILABLE,
            service=service,
            endpoint=endpoint,
            detail="all_refused" if refusing else "no_instance",
            instance=instance,
            retry_after_s=retry_after_s,
        )
        self.refusing = refusing

    def __str__(self) -> str:
        """The message, put together when it is read."""
        if not self.refusing:
            who = "no instance" if self.instance == "none" else f"no instance {self.instance}"
            return f"call to {self._callee()} not sent: {who} of it is known"
        return (
            f"call to {self._callee()} not sent: all {self.refusing} of its instances refuse "
            f"connections, the next trial is in {self.retry_after_s or 0.0:.1f} s"
        )


class BadResultError(CallFailedError):
    """The function answered, and the command's `is_failure` takes the answer for a failure.

    result: that answer. Only fallbacks and retry rules see this error; if neither helps, the
    caller is given the answer.
    """

    def __init__(self, service: str, result: Any) -> None:
        super().__init__(Status.UNEXPECTED_ERROR, service=service, detail="bad_result")
        self.result = result


class CallRefusedError(CallError):
    """The guard of this process refused the call; nothing was sent.

    `CallRefusedError(reason, service, endpoint="", limit=None, retry_after_s=None)`, all by
    position: no Python code runs when one is made, because during an outage one is made for every
    call. reason: a word of `REASONS`. limit: the bound that was reached. retry_after_s: when it
    may be worth to come again, None if not known.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            reason: str,
            service: str = "",
            endpoint: str = "",
            limit: float | None = None,
            retry_after_s: float | None = None,
            /,
        ) -> None:
            """What the arguments are; at run time none of it is executed."""

    else:
        __init__ = Exception.__init__

    @property
    def reason(self) -> str:
        """Which part refused, and why, in a word: `breaker_open`, `bulkhead_full` ..."""
        return str(self.args[0])

    @property
    def status(self) -> Status:  # type: ignore[override] # computed from the reason
        """`short_circuited` when the breaker refused, else `rejected`."""
        return Status.SHORT_CIRCUITED if self.reason in BREAKER_REASONS else Status.REJECTED

    @property
    def service(self) -> str:  # type: ignore[override] # read from the arguments
        """The command, or the service, that was not called."""
        return str(self._argument(1, ""))

    @property
    def endpoint(self) -> str:  # type: ignore[override] # read from the arguments
        """What it was to be called for."""
        return str(self._argument(2, ""))

    @property
    def limit(self) -> float | None:
        """The bound that was reached, None if there is none to name."""
        limit: float | None = self._argument(3, None)
        return limit

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which it may be worth to come again, None if not known."""
        seconds: float | None = self._argument(4, None)
        return seconds

    def _argument(self, place: int, otherwise: Any) -> Any:
        return self.args[place] if len(self.args) > place else otherwise

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle by arguments, and by what was noted on it since."""
        return (type(self), self.args, self.__dict__) if self.__dict__ else (type(self), self.args)

    def __str__(self) -> str:
        """The message, put together when it is read."""
        why = REASONS.get(self.reason, self.reason)
        if self.limit is not None:
            why = why.format(limit=f"{self.limit:g}")
        again = "" if self.retry_after_s is None else f", try again in {self.retry_after_s:.3g} s"
        return f"call to {self._callee()} refused: {why}{again}"


BREAKER_REASONS: Final = frozenset(
    ("breaker_open", "breaker_half_open", "breaker_forced_open", "breaker_ramping")
)
"""Refusals by the breaker; all others are rejections."""

REASONS: Final = {
    "breaker_open": "its circuit is open",
    "breaker_half_open": "its circuit is half open and all probes are out",
    "breaker_forced_open": "its circuit is held open by hand",
    "breaker_ramping": "its circuit closed a moment ago and admits calls little by little",
    "bulkhead_full": "{limit} calls are under way, the limit",
    "draining": "this process is about to end",
    "fallback_full": "{limit} fallbacks are under way, the limit",
    "partition_full": "{limit} calls of its class of callers are under way, its share",
    "pool_full": "all {limit} threads are busy and the queue is full",
    "never_started": "its time ran out before a thread was free",
    "limit_reached": "{limit} calls are under way, the adaptive limit",
    "rate_limited": "{limit} calls in a period are allowed",
    "throttled": "the callee refuses most calls, so a share is refused here",
    "shed": "less important work is refused under overload",
    "too_late": "it could not be done before its deadline",
    "queue_full": "the queue for one of its {limit} places is full",
    "queue_timeout": "no place came free in time",
    "batch_full": "its batch is full",
}
"""The words, and what each means to a reader; `{limit}` is the bound."""


class DeadlineExceededError(CallError):
    """The caller's deadline had passed before the call could be made."""

    def __init__(self, *, service: str, endpoint: str = "") -> None:
        super().__init__(Status.TIMEOUT, service=service, endpoint=endpoint)

    def __str__(self) -> str:
        """The message, put together when it is read."""
        return f"call to {self._callee()} not sent: the deadline has passed"


def _rebuilt(kind: type[CallError], fields: dict[str, object]) -> CallError:
    made = kind.__new__(kind)
    made.__dict__.update(fields)
    return made


class PlatformError(UnavailableError):
    """The platform could not be reached, or its answer made no sense; the service goes on."""


class SettingsError(InvalidInputError):
    """A setting of the SDK cannot be used; the message says which, and what is allowed."""


class IllegalTransitionError(InvalidInputError):
    """A breaker was ordered from one state into another that may not follow it."""


class InjectedFaultError(BreakwaterError):
    """A rule says this call fails with HTTP `status`; adapters turn it into an answer."""

    def __init__(self, rule: FaultRule) -> None:
        super().__init__(f"fault {rule.id}: HTTP {rule.status}")
        self.status = rule.status

    @property
    def counts_against_callee(self) -> bool:
        """Any 5xx, 408 and 429 do; other 4xx are answers."""
        return self.status >= 500 or self.status in (408, 429)
