"""What can be wrong with a request before a room has looked at it.

BodyTooLargeError(LimitExceededError)       more bytes were sent than are allowed; send less
UnreadableBodyError(InvalidInputError)      the body is not packed as it says; mend it
UnusableParameterError(InvalidInputError)   a parameter of the query is not as it must be
"""

from breakwater.model import InvalidInputError, LimitExceededError


class BodyTooLargeError(LimitExceededError):
    """The body of a request is larger than allowed; nothing of it was used."""

    def __init__(self, limit_bytes: int, when: str = "") -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes {when}".rstrip())
        self.limit_bytes = limit_bytes


class UnreadableBodyError(InvalidInputError):
    """The body cannot be unpacked, or is packed in a way that is not known here."""


class UnusableParameterError(InvalidInputError):
    """A parameter of the query cannot be read; the message names it and what is allowed."""
