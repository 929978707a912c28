"""What a call through the SDK can end in, besides an answer.

UnavailableError (model)
├── CallError                 one guarded call gave no answer; carries service, endpoint, status
│   ├── CallFailedError       it was tried: the callee said no, broke, or took too long
│   ├── CallRefusedError      this process refused it: breaker open or too many calls at once
│   └── DeadlineExceededError no time was left, so it was not sent
└── PlatformError             the Breakwater platform did not answer a service's background thread
InvalidInputError (model)
└── SettingsError             an argument or environment variable of the SDK cannot be used

A `CallError` is what a fallback is given. Messages are put together only when somebody reads
them: during an outage these errors are raised thousands of times a second.
"""

from breakwater.model import InvalidInputError, Status, UnavailableError


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
    detail: a short word for the reason, the `ipc.status.detail` tag of the record.
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
    ) -> None:
        super().__init__(status, service=service, endpoint=endpoint)
        self.code = code
        self.body = body
        self.detail = detail
        self.instance = instance

    def __str__(self) -> str:
        """The message, put together when it is read."""
        answer = f"HTTP {self.code}" if self.code is not None else self.detail or "no answer"
        return f"call to {self._callee()} failed: {self.status} ({answer})"


class CallRefusedError(CallError):
    """The guard of this process refused the call; nothing was sent.

    status is `short_circuited` (the breaker is open) or `rejected` (`limit` calls under way).
    """

    def __init__(
        self, status: Status, *, service: str, endpoint: str = "", limit: int | None = None
    ) -> None:
        self.status = status  # not by super(): raised for every call while a circuit is open
        self.service = service
        self.endpoint = endpoint
        self.limit = limit

    def __str__(self) -> str:
        """The message, put together when it is read."""
        if self.status is Status.REJECTED:
            return f"call to {self._callee()} refused: {self.limit} calls are under way, the limit"
        return f"call to {self._callee()} refused: its circuit is open, try again shortly"


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
