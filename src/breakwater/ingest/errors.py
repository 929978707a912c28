"""What can go wrong while telemetry comes in.

IngestError
├── InputError              the payload cannot be read; nothing of it was kept
│   ├── LineError           one line is not a meter update; `reason` is what it is counted under
│   └── UnknownFormatError  the payload is in a format that is not taken here; send another
├── PayloadTooLargeError    the payload, or what it stands for, is beyond the limit
├── TooManySamplesError     one request holds more samples than are taken at once
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


class UnknownFormatError(InputError):
    """The payload is in a format, or packed in a way, that is not taken here."""


class PayloadTooLargeError(IngestError, LimitExceededError):
    """The payload is larger than allowed; send fewer metrics in one request."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes} bytes; send smaller batches")
        self.limit_bytes = limit_bytes


class TooManySamplesError(IngestError, LimitExceededError):
    """One request holds more samples than allowed; nothing of it was stored."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} samples in one request; send smaller batches")
        self.limit = limit


class ListenError(IngestError, UnavailableError):
    """The UDP port cannot be opened."""
