"""What can go wrong when a change is written down or looked up.

BreakwaterError
└── InvalidInputError
    ├── InvalidChangeError    the change, or the question, breaks a rule; the message names it
    └── UnknownChangeError    no change has that number

What the disk refuses reaches the caller as `breakwater.storage` names it.
"""

from breakwater.model import InvalidInputError


class InvalidChangeError(InvalidInputError):
    """A change or a question about changes that cannot be used; nothing was stored."""


class UnknownChangeError(InvalidInputError):
    """There is no change of that number."""
