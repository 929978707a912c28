"""What can become of a case that does not simply pass.

MismatchError   the answer is not the one expected; the message says what differs
WaivedError     the reference's answer is one no engine should give; the message says why
"""

from typing import Any

from breakwater.metrics.errors import MetricsError

Case = dict[str, Any]


class MismatchError(MetricsError):
    """The answer is not the one expected."""


class WaivedError(MetricsError):
    """The reference's answer is one no engine should give."""


def expect(what: str, found: object, wanted: object) -> None:
    """Raise MismatchError, naming what differs, unless the two are equal."""
    if found != wanted:
        raise MismatchError(f"{what}: {_short(found)} where {_short(wanted)} is expected")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
