"""What the logging callbacks have in common."""

from typing import Any, Protocol


class LoggerProtocol(Protocol):
    """Any logger with `log`."""

    def log(self, level: int, msg: str, *args: Any) -> Any:
        """Write a message."""
        ...


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
