"""`breakwater metrics`: graphs, numbers, tags and cardinality, from a running server."""

import math
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from breakwater.metrics.archive.commands import export
from breakwater.metrics.limits.cardinality import Cardinality
from breakwater.metrics.text.sparks import sparkline
from breakwater.metrics.text.units import decimal_text
from breakwater.terminal import ask, json_option, moment, print_table, server_option, token_option

_FORMATS: Final = {
    ".png": "png",
    ".svg": "svg",
    ".csv": "csv",
    ".txt": "txt",
    ".tsv": "txt",
    ".json": "std.json",
    "": "std.json",
}
_NAMES: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Table(msgspec.Struct):
    """What the server answers to `format=std.json`."""

    start: int
    step: int
    legend: list[str]
    metrics: list[dict[str, str]]
    values: list[list[float | str]]
    notices: list[str] = []


@click.group()
def metrics() -> None:
    """Graphs and numbers from the metrics a running server keeps."""


metrics.add_command(export)


def _window_options(command: Any) -> Any:  # Any: click's decorators have no narrower type
    """--from, --to, --step and --tz."""
    for option in (
        click.option(
            "--tz", "zones", multiple=True, metavar="ZONE", help="May be repeated.  [default: UTC]"
        ),
        click.option("--step", default="", metavar="LENGTH", help="5s, 1m.  [default: fits]"),
        click.option("--to", "end", default="now", show_default=True, metavar="TIME"),
        click.option(
            "--from",
            "start",
            default="e-1h",
            show_default=True,
            metavar="TIME",
            help="e-3h, now-1d, 2024-02-29T13:00, s+1h, or since 1970: seconds, milliseconds.",
        ),
    ):
        command = option(command)
    return command


@metrics.command()
@click.argument("program")
@_window_options
@click.option("--width", default=900, show_default=True, help="Pixels of the plotting area.")
@click.option("--height", default=300, show_default=True, help="Pixels of the plotting area.")
@click.option("--title", default="")
@click.option("--theme", default="light", show_default=True, type=click.Choice(["light", "dark"]))
@click.option(
    "--set",
    "more",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other parameter of /api/v1/graph, such as ylabel=requests/s or stack=1.",
)
@click.option(
    "--out",
    default="graph.png",
    show_default=True,
    metavar="FILE",
    help="Its ending chooses the format: .png .svg .csv .txt .json; - prints JSON.",
)
@server_option
@token_option
def graph(
    program: str,
    *,
    start: str,
    end: str,
    step: str,
    zones: tuple[str, ...],
    width: int,
    height: int,
    title: str,
    theme: str,
    more: tuple[str, ...],
    out: str,
    server: str,
    token: str,
) -> None:
    """Draw PROGRAM, a program of the stack language, into a file.

    Changes in the journal are marked in pictures.
    """
    given = [_parameter(text) for text in more]
    asked = [
        ("w", str(width)),
        ("h", str(height)),
        ("title", title),
        ("theme", theme),
        ("format", _format_of(out)),
        *given,
    ]
    body = _asked(server, token, program, (start, end, step), zones, asked)
    if out == "-":
        click.echo(body)
        return
    Path(out).write_bytes(body)
    click.echo(f"{out}: {len(body)} bytes.")


@metrics.command()
@click.argument("program")
@_window_options
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Lines shown.")
@server_option
@token_option
@json_option
def query(
    program: str,
    *,
    start: str,
    end: str,
    step: str,
    zones: tuple[str, ...],
    limit: int,
    server: str,
    token: str,
    as_json: bool,
) -> None:
    """Print the lines of PROGRAM, a program of the stack language, each with its numbers."""
    body = _asked(server, token, program, (start, end, step), zones, [("format", "std.json")])
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=_Table)
    lines = [[_number(value) for value in line] for line in zip(*found.values, strict=True)]
    for notice in found.notices:
        click.echo(f"Note: {notice}.", err=True)
    if not lines:
        click.echo("No line: nothing matches the program in this time.")
        return
    rows = zip(found.legend, lines, strict=True)
    print_table(
        ("line", "min", "avg", "max", "last", "over time"),
        [(legend, *_numbers(values), sparkline(values)) for legend, values in rows][:limit],
    )
    first_ms, count = found.start, len(found.values)
    last_ms = first_ms + (count - 1) * found.step
    click.echo(
        f"{count} points of {found.step / 1000:g} s each, "
        f"{moment(first_ms - found.step)} to {moment(last_ms)}."
    )
    if len(lines) > limit:
        click.echo(f"{limit} of {len(lines)} lines are shown; --limit shows more.")


@metrics.command()
@click.argument("key", default="")
@click.option("--query", default="", metavar="QUERY", help="Only of series that match.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 1000))
@server_option
@token_option
@json_option
def tags(key: str, *, query: str, limit: int, server: str, token: str, as_json: bool) -> None:
    """List the tag keys in use; with KEY its values and how many series carry each."""
    asked = {"q": query, "limit": str(limit)}
    if not key:
        body = ask(server, f"/api/v1/tags?{urlencode(asked)}", token=token)
        click.echo(body if as_json else "\n".join(msgspec.json.decode(body, type=list[str])))
        return
    path = f"/api/v1/tags/{quote(key, safe='')}?{urlencode({**asked, 'verbose': '1'})}"
    body = ask(server, path, token=token)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=list[dict[str, str | int]])
    if not found:
        click.echo(f"No series has the key '{key}'.")
        return
    print_table((key, "series"), [(str(each["value"]), str(each["count"])) for each in found])


@metrics.command()
@click.option("--limit", default=15, show_default=True, type=click.IntRange(1, 1000), help="Rows.")
@server_option
@token_option
@json_option
def cardinality(*, limit: int, server: str, token: str, as_json: bool) -> None:
    """Show which keys, names and applications the series come from, and how they change."""
    body = ask(server, f"/api/v1/cardinality?{urlencode({'limit': limit})}", token=token)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=Cardinality)
    click.echo(f"{found.series} series of at most {found.max_series}.")
    rows = [(each.key, str(each.values), str(each.series)) for each in found.keys]
    print_table((f"key ({found.distinct_keys})", "values", "series"), rows)
    for head, count, values in (
        ("name", found.distinct_names, found.names),
        ("application", found.distinct_apps, found.apps),
    ):
        print_table(
            (f"{head} ({count})", "series", "new in 1 h", "retired in 1 h"),
            [(each.value, *_texts(each.series, each.new, each.retired)) for each in values],
        )
    if found.limits:
        print_table(
            ("at its limit", "", "series", "limit", "rolled up", "refused", "loses the values of"),
            [
                (
                    each.kind,
                    each.value,
                    *_texts(each.series, each.limit, each.sources, each.refused),
                    ", ".join(each.keys),
                )
                for each in found.limits
            ],
        )


def _texts(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def _asked(
    server: str,
    token: str,
    program: str,
    window: tuple[str, str, str],
    zones: tuple[str, ...],
    more: list[tuple[str, str]],
) -> bytes:
    start, end, step = window
    given = [("q", program), ("s", start), ("e", end), ("step", step), *more]
    given += [("tz", zone) for zone in zones]
    parameters = urlencode([(name, text) for name, text in given if text])
    return ask(server, f"/api/v1/graph?{parameters}", token=token)


def _format_of(out: str) -> str:
    suffix = "" if out == "-" else Path(out).suffix.lower()
    form = _FORMATS.get(suffix)
    if form is None or (suffix == "" and out != "-"):
        allowed = " ".join(name for name in _FORMATS if name)
        raise click.BadParameter(f"--out is '{out}'; it must end in one of {allowed}, or be -")
    return form


def _parameter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"--set must look like NAME=VALUE, got {text!r}")
    return name, value


def _number(value: float | str) -> float:
    return _NAMES[value] if isinstance(value, str) else value


def _numbers(values: list[float]) -> tuple[str, ...]:
    there = [value for value in values if not math.isnan(value)]
    if not there:
        return ("-",) * 4
    numbers = (min(there), math.fsum(there) / len(there), max(there), there[-1])
    return tuple(decimal_text(number) for number in numbers)
