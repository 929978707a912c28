"""What is read: which series, how they become lines, and how datapoints become points.

This is all that a query language tells the engine; planning, reading, retention classes and the
archive work from it alone.
"""

from typing import Final

import msgspec

from breakwater.metrics.grid.durations import duration_text
from breakwater.metrics.selection.escapes import keys_text
from breakwater.metrics.selection.query import Query, keys_of

DEFAULT_CONSOLIDATION: Final = {
    "sum": "avg",
    "count": "avg",
    "min": "min",
    "max": "max",
    "all": "sum",
}
"""How datapoints of each kind become one where nobody says how."""


class Selection(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Series, and what becomes of their datapoints on the way to lines.

    kind: how series are folded, `sum`, `count`, `min` or `max`; with `all` each is a line of its
    own. keys: a line for each combination of their values; None for one line of all that match,
    whose tags are those the query asks for. consolidated_by: what datapoints of a step that is
    longer than the stored one become, `sum`, `avg`, `min` or `max`. offset_ms: read that much
    earlier than asked.
    """

    query: Query
    kind: str
    consolidated_by: str
    keys: tuple[str, ...] | None = None
    offset_ms: int = 0

    @property
    def keeps_series(self) -> bool:
        """Whether each series is a line of its own."""
        return self.kind == "all"

    @property
    def is_one_line(self) -> bool:
        """Whether there is one line, even where nothing matches."""
        return self.keys is None and self.kind != "all"

    def asked_keys(self) -> frozenset[str]:
        """Keys of tags that make a difference to what is read."""
        return frozenset((*(self.keys or ()), *keys_of(self.query)))

    def without_offset(self) -> "Selection":
        """The same of its own time."""
        return msgspec.structs.replace(self, offset_ms=0) if self.offset_ms else self

    def text(self) -> str:
        """The program of the stack language that reads the same; notices name it so."""
        text = f"{self.query.text()},:{self.kind}"
        if self.consolidated_by != DEFAULT_CONSOLIDATION[self.kind]:
            text += f",:cf-{self.consolidated_by}"
        if self.offset_ms:
            text += f",{duration_text(self.offset_ms)},:offset"
        return text if self.keys is None else f"{text},{keys_text(self.keys)},:by"
