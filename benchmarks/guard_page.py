"""Puts the figures of `make bench-guard` into docs/guard-costs.md, between its two marks.

make bench-guard BENCH_FLAGS='--json guard.json --behaviour'
python -m benchmarks.guard_page guard.json
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.guard import ROOT, Row

PAGE: Final = ROOT / "docs" / "guard-costs.md"
MARKS: Final = ("<!-- figures -->\n", "<!-- end of figures -->\n")
OURS: Final = "breakwater: "
TITLES: Final = {
    "sync": "Calls from a thread",
    "async": "Awaited calls in a running event loop",
    "sync refused": "Refused calls, the caller's `try` included",
    "async refused": "Refused calls, awaited",
    "memory": "Memory",
    "wall": "Behaviour (wall time)",
}


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured; slowness: against the machine on which the targets were set."""

    python: str
    machine: str
    system: str
    load: float
    slowness: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` wrote."""

    machine: Machine
    rows: list[Row]


def page_part(figures: Figures) -> str:
    """The tables, in Markdown."""
    slow = figures.machine.slowness
    return "\n".join([_calibration(figures), *_tables(figures.rows, slow)]) + "\n"


def _calibration(figures: Figures) -> str:
    machine = figures.machine
    whole = {row.name: row.value for row in figures.rows}
    return (
        f"CPython {machine.python}, {machine.machine}, load of the machine {machine.load:.1f}. "
        f"Bare call {whole['bare call']:.0f} ns, bare await {whole['bare await']:.0f} ns. "
        f"Slowness: {machine.slowness:.2f}.\n"
    )


def _tables(rows: list[Row], slow: float) -> Iterable[str]:
    for kind, title in TITLES.items():
        found = [row for row in rows if row.kind == kind]
        if not found:
            continue
        is_call = found[0].bare_ns is not None
        found.sort(key=lambda row: row.value)
        if is_call:
            yield f"| {title} | ns here | ns scaled | ns on the reference machine | target |"
            yield "|---|--:|--:|--:|--:|"
        else:
            yield f"| {title} | here | target |"
            yield "|---|--:|--:|"
        for row in found:
            yield _line(row, slow if is_call else None)
        yield ""


def _line(row: Row, slow: float | None) -> str:
    is_ours = row.name.startswith(OURS)
    name = f"**{row.name.removeprefix(OURS)}**" if is_ours else row.name
    target = "" if row.target is None else f"{row.target:,.0f}"
    if slow is None:
        return f"| {name} | {row.value:,.0f} {row.unit} | {target} |"
    there = "" if row.reference is None else f"{row.reference:,.0f}"
    return f"| {name} | {row.value:,.0f} | {row.value / slow:,.0f} | {there} | {target} |"


def main() -> None:
    """Read the figures, rewrite the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.guard_page", description=__doc__)
    parser.add_argument("figures", type=Path, help="what `benchmarks.guard --json` wrote")
    given = parser.parse_args()
    figures = msgspec.json.decode(given.figures.read_bytes(), type=Figures)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    PAGE.write_text(before + MARKS[0] + page_part(figures) + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main()
