"""What a command that asks a running platform can meet.

BreakwaterError
├── InvalidInputError
│   └── RefusedError      the platform said no, in its own words; or --server cannot be an address
└── UnavailableError
    └── NoAnswerError     nobody answers there, or the platform cannot do it now; ask again later
"""

from breakwater.model import InvalidInputError, UnavailableError


class RefusedError(InvalidInputError):
    """The request cannot be carried out as it is; the message says what to mend."""


class NoAnswerError(UnavailableError):
    """The platform did not answer, or not now; the message says how to start or name one."""
