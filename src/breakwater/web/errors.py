"""What can be wrong with a request before a room has looked at it.

BodyTooLargeError(LimitExceededError)   more bytes were sent than are allowed; send less
"""

from breakwater.model import LimitExceededError


class BodyTooLargeError(LimitExceededError):
    """The body of a request is larger than allowed; nothing of it was used."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
