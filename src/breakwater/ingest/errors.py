"""What can go wrong while telemetry comes in.

IngestError
├── InputError              the payload cannot be read; nothing of it was kept
│   └── LineError           one line is not a meter update; `reason` is what it is counted under
├── PayloadTooLargeError    the payload, or what it inflates to, is beyond the limit
└── ListenError             the UDP port cannot be opened; the message names host, port and cause
"""

from breakwater.model import (
    BreakwaterError,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)


class IngestError(BreakwaterError):
    """Anything this room refuses or fails to take in."""


class InputError(IngestError, InvalidInputError):
    """The payload cannot be read as what it claims to be; nothing of it was kept."""


class LineError(InputError):
    """One line is not a meter update; it is counted under `reason` and left out."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"line dropped: {reason}")
        self.reason = reason


class PayloadTooLargeError(IngestError, LimitExceededError):
    """The payload is larger than allowed; send fewer metrics in one request."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes} bytes; send smaller batches")
        self.limit_bytes = limit_bytes


class ListenError(IngestError, UnavailableError):
    """The UDP port cannot be opened."""
