"""Words that ask for events."""

from breakwater.metrics.language.events import EventExpression, Sample, Table
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.words.data import checked_keys
from breakwater.metrics.selection.query import Query


@word("table", "query:Query columns:StringList -- Event")
def table(query: Query, columns: list[str]) -> EventExpression:
    """A row of columns for each matching event."""
    return Table(query, checked_keys(columns))


@word("sample", "query:Query keys:StringList columns:StringList -- Event")
def sample(query: Query, keys: list[str], columns: list[str]) -> EventExpression:
    """How many events matched, by keys, with sample rows of columns."""
    return Sample(query, checked_keys(keys), checked_keys(columns))
