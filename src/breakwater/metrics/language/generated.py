"""Expressions that read no datapoint: noise, the calendar, a span of time."""

from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.selection.escapes import escape


class Random(Expression, frozen=True):
    """Noise between 0 and 1 that is the same whenever it is asked for: a hash of the stamp."""

    seed: int | None = None

    def text(self) -> str:
        """The canonical program."""
        return ":random" if self.seed is None else f"{self.seed},:srandom"

    def label(self) -> str:
        """The name of its line."""
        return "random" if self.seed is None else f"seeded-random({self.seed})"


class Time(Expression, frozen=True):
    """A field of the calendar in UTC, or the time since the epoch in some unit."""

    mode: str

    def text(self) -> str:
        """The canonical program."""
        return f"{escape(self.mode)},:time"


class TimeSpan(Expression, frozen=True):
    """1 from `start` to `end`, both included, and 0 elsewhere."""

    start: str
    end: str
    zone: str = "UTC"

    def text(self) -> str:
        """The canonical program."""
        return f"{escape(self.start)},{escape(self.end)},:time-span"

    def label(self) -> str:
        """The name of its line."""
        return f"{self.start} to {self.end}"
