"""The root of every error Breakwater raises on purpose.

BreakwaterError
├── InvalidInputError     what was given cannot be used; the message says what is allowed
├── UnavailableError      the thing asked for cannot answer now; asking later may work
└── LimitExceededError    a stated bound was reached; the message carries bound and count

Each room draws its own tree in its `errors.py` below one of these three, so that whoever
catches knows what to do: mend the input, come back later, or ask for less.
"""


class BreakwaterError(Exception):
    """Anything Breakwater refuses or fails to do, with a message meant for a person."""


class InvalidInputError(BreakwaterError):
    """The input cannot be used as it is; nothing was changed."""


class UnavailableError(BreakwaterError):
    """The answer cannot be given now, for a reason outside the request."""


class LimitExceededError(BreakwaterError):
    """A bound that protects the process was reached; the request was not carried out."""
