"""Which HTTP status tells a caller what to do about a refusal of the registry."""

from breakwater.model import BreakwaterError, InvalidInputError
from breakwater.registry.errors import PayloadTooLargeError, UnknownActError, UnknownInstanceError
from breakwater.web import BodyTooLargeError


def status_of(error: BreakwaterError) -> int:
    """The HTTP status that says what the caller can do about `error`."""
    if isinstance(error, UnknownInstanceError | UnknownActError):
        return 404
    if isinstance(error, PayloadTooLargeError | BodyTooLargeError):
        return 413
    return 400 if isinstance(error, InvalidInputError) else 503
