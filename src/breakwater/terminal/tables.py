"""Answers as a person reads them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings; long texts are folded, and markup in them is shown as it is."""
    from rich.console import Console  # noqa: PLC0415 - loading rich takes longer than the request
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)


def moment(time_ms: int | None) -> str:
    """A point of time, milliseconds since the epoch, in words; a dash for none (None or 0)."""
    if not time_ms:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
