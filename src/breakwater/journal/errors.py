"""What can go wrong when a change is written down or looked up.

BreakwaterError
├── InvalidInputError
│   ├── InvalidChangeError    the change, or the question, breaks a rule; the message names it
│   └── UnknownChangeError    no change has that number
└── LimitExceededError
    └── OversizedChangeError  the request is larger than a change can be

What the disk refuses reaches the caller as `breakwater.storage` names it.
"""

from breakwater.model import InvalidInputError, LimitExceededError


class InvalidChangeError(InvalidInputError):
    """A change or a question about changes that cannot be used; nothing was stored."""


class UnknownChangeError(InvalidInputError):
    """There is no change of that number."""


class OversizedChangeError(LimitExceededError):
    """More bytes were sent than one change may take."""
