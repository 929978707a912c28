"""A judgement on a terminal: one line first, then evidence, the books, what was ruled out."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from breakwater.diagnosis import Diagnosis, Verdict
from breakwater.incidents.report import clock_time, headline_of
from breakwater.incidents.triage import TriageResult


def print_triage(result: TriageResult, console: Console, *, with_queries: bool = True) -> None:
    """Print a judgement for somebody who was just woken up."""
    judged = result.diagnosis
    colour = "bold red" if judged.verdict is Verdict.CULPRIT else "bold"
    console.print(Text(headline_of(judged), style=colour), soft_wrap=True)
    _print_evidence(judged, console, with_queries=with_queries)
    if judged.hops:
        console.print(_impact_table(judged))
    if judged.suspects and judged.suspects[0].classes:
        first = judged.suspects[0]
        kinds = ", ".join(f"{name} {rate:.1f}/s" for name, rate in first.classes.items())
        console.print(f"  calls to {first.service} beyond the baseline: {escape(kinds)}")
    for title, lines in (("ruled out", judged.ruled_out), ("data gaps", judged.data_gaps)):
        if lines:
            console.print(f"[bold]{title}[/]")
            for line in lines:
                console.print(f"  - {escape(line)}", soft_wrap=True)
    if result.changes:
        console.print("[bold]changed by people around then[/]")
        for change in result.changes:
            console.print(
                f"  - {clock_time(change.start_ms)} {change.kind} {escape(change.target)} "
                f"by {escape(change.actor)}"
            )


def _print_evidence(judged: Diagnosis, console: Console, *, with_queries: bool) -> None:
    for number, item in enumerate(judged.evidence, start=1):
        console.print(f"  {number}. {escape(item.statement)}", soft_wrap=True)
        if with_queries:
            console.print(f"     [dim]{escape(item.query)}[/]", soft_wrap=True)


def _impact_table(judged: Diagnosis) -> Table:
    table = Table(
        "service", title="own impact per hop, per second since the onset", title_justify="left",
        box=None, pad_edge=False,
    )  # fmt: skip
    for name in ("calls", "own time s", "between clocks s", "failed", "share"):
        table.add_column(name, justify="right")
    for hop in judged.hops[:8]:
        table.add_row(
            hop.service,
            f"{hop.calls_per_s:.1f}",
            f"{max(hop.own_wait_s, 0.0):.2f}",
            f"{max(hop.gap_s, 0.0):.2f}",
            f"{max(hop.own_failed_per_s, 0.0):.2f}",
            f"{hop.share:.0%}",
            style="bold red" if hop.share >= 0.5 and judged.culprit else None,
        )
    return table
