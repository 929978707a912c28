"""What can go wrong in the reference fleet, and which HTTP answer each error becomes.

InvalidInputError
├── MalformedRequestError     400  the request cannot be read; the message names the field
├── UnauthenticatedError      401  the device's token is missing or not genuine
├── LicenceRefusedError       403  the viewer may not watch this; carries the reason
│   └── UntrustedLicenceError 403  a licence that is forged, expired or for another session
├── UnknownItemError          404  no such title, rung, segment, account or session
├── UnknownServiceError            no such service in this fleet (raised while starting)
└── UnknownEdgeError               a service wants to call one it has no edge to (same)
LimitExceededError
└── FullError                 503  a bounded table is full; carries the bound
"""

from breakwater.model import InvalidInputError, LimitExceededError


class MalformedRequestError(InvalidInputError):
    """A request that cannot be read; send the field the message names."""


class UnauthenticatedError(InvalidInputError):
    """The device did not prove whose it is; enrol it again."""


class LicenceRefusedError(InvalidInputError):
    """This account may not watch this title here and now; `reason` is one stable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UntrustedLicenceError(LicenceRefusedError):
    """A licence nobody here signed, or that no longer holds, or that belongs to another session."""


class UnknownItemError(InvalidInputError):
    """The thing named in the request does not exist."""


class UnknownServiceError(InvalidInputError):
    """The fleet has no service of this name; the message lists those it has."""


class UnknownEdgeError(InvalidInputError):
    """The service has no declared edge to this callee; the message lists those it has."""


class FullError(LimitExceededError):
    """A table that protects the process from growing without end is full."""
