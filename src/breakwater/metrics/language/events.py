"""What is asked of events: rows of columns, or counts with samples.

They can be written, printed and normalised; a metrics engine holds no events to answer them.
"""

import msgspec

from breakwater.metrics.selection.escapes import keys_text
from breakwater.metrics.selection.query import Query


class EventExpression(msgspec.Struct, frozen=True):
    """Something asked of events."""

    query: Query

    def text(self) -> str:
        """The canonical program."""
        raise NotImplementedError


class Table(EventExpression, frozen=True):
    """A row of columns for each matching event."""

    columns: tuple[str, ...]

    def text(self) -> str:
        """The canonical program."""
        return f"{self.query.text()},{keys_text(self.columns)},:table"


class Sample(EventExpression, frozen=True):
    """A count for each combination of some keys, with sample rows of columns."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]

    def text(self) -> str:
        """The canonical program."""
        return f"{self.query.text()},{keys_text(self.keys)},{keys_text(self.columns)},:sample"
