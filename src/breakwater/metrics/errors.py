"""What can go wrong in the metrics engine.

MetricsError
├── QueryError
│   ├── QuerySyntaxError     the text is not a stack program; position, word, stack, expectation
│   ├── QueryValueError      the program is one, but asks for what has no meaning
│   ├── QueryLimitError      the answer would be larger than allowed; limit and count
│   ├── QueryTimeoutError    the deadline passed
│   ├── QueryCancelledError  nobody waits for the answer any more
│   └── BusyError            too many queries wait; ask again later
├── InvalidStepError         a step off the grid; the message lists the steps allowed
├── InvalidTimeError         a time or duration that cannot be read
├── SeriesLimitError         no room for another series; limit and count
│   └── CardinalityLimitError  none for one of this name or application; which, and the limit
├── NotDurableError          what is written now would not survive a restart; the message says why
├── FolderInUseError         another process keeps its metrics in the folder
├── InvalidClassError        a retention class that does not fit the others; what is allowed
├── ArchiveUnavailableError  the archive cannot be reached or written now; the message says why
└── ArchiveSettingError      the archive as it is set up can never work; what is wrong with it
"""

from breakwater.model import (
    BreakwaterError,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)


class MetricsError(BreakwaterError):
    """Anything this room refuses or fails to do."""


class QueryError(MetricsError):
    """A query that has no answer."""


class QuerySyntaxError(QueryError, InvalidInputError):
    """The text is not a stack program; `position` is the index of the character it failed at."""

    def __init__(self, message: str, *, position: int = 0, word: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.word = word


class QueryValueError(QueryError, InvalidInputError):
    """The program can be read, but what it asks for has no meaning."""


class QueryLimitError(QueryError, LimitExceededError):
    """The answer would be larger than allowed."""

    def __init__(self, what: str, count: int, limit: int) -> None:
        super().__init__(f"too many {what}: {count} > {limit}; narrow the query or the window")
        self.count = count
        self.limit = limit


class QueryTimeoutError(QueryError, UnavailableError):
    """The deadline passed before the answer was complete."""


class QueryCancelledError(QueryError, UnavailableError):
    """Nobody waits for the answer any more."""


class BusyError(QueryError, UnavailableError):
    """Too many queries are waiting, or one waited too long for its turn; ask again later."""


class InvalidStepError(MetricsError, InvalidInputError):
    """A step that is not on the grid."""


class InvalidTimeError(MetricsError, InvalidInputError):
    """A time, a duration or a range that cannot be read."""


class SeriesLimitError(MetricsError, LimitExceededError):
    """There is no room for another series."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"too many series: {count} of {limit} are in use; a new one was refused")
        self.count = count
        self.limit = limit


class CardinalityLimitError(SeriesLimitError):
    """A name or an application has all its series, and those for what is rolled up besides."""

    def __init__(self, kind: str, value: str, limit: int) -> None:
        super().__init__(limit, limit)
        message = (
            f"too many series of {kind} '{value}': all {limit} are in use, and all that stand for "
            f"others too; drop a tag, or raise metrics.max_series_per_{kind}"
        )
        self.args = (message,)


class NotDurableError(MetricsError, UnavailableError):
    """What is written now would not survive a restart; send it again later."""


class FolderInUseError(MetricsError, UnavailableError):
    """Another process keeps its metrics in the folder."""


class InvalidClassError(MetricsError, InvalidInputError):
    """A retention class that does not fit the store, the class before it, or the language."""


class ArchiveUnavailableError(MetricsError, UnavailableError):
    """The archive cannot be reached, read or written now; trying again later may help."""


class ArchiveSettingError(MetricsError, InvalidInputError):
    """The archive as it is set up can never work."""
