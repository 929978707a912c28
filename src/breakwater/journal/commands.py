"""`breakwater changes`: what was done to the fleet, read from and told to a running server."""

import re
from typing import Final
from urllib.parse import urlencode

import click
import msgspec

from breakwater.journal.exchange import ChangeList
from breakwater.model import Change, ChangeKind, SystemClock
from breakwater.terminal import ask, json_option, moment, print_table, server_option, token_option

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_KIND: Final = click.Choice([kind.value for kind in ChangeKind], case_sensitive=False)


@click.group()
def changes() -> None:
    """What changed: deploys, configuration, flags, faults, failovers."""


@changes.command("list")
@click.option("--since", default="1h", show_default=True, metavar="AGE", help="90s, 15m, 2h, 1d.")
@click.option("--kind", "kinds", multiple=True, type=_KIND)
@click.option("--target", default="", help="Only changes to this service, instance or edge.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@server_option
@token_option
@json_option
def list_(
    *,
    since: str,
    kinds: tuple[str, ...],
    target: str,
    limit: int,
    server: str,
    token: str,
    as_json: bool,
) -> None:
    """Show the changes of the last hour, or of --since."""
    query = {"start": _moment_before(since), "kind": ",".join(kinds), "target": target}
    body = ask(server, f"/api/v1/changes?{urlencode(query | {'limit': limit})}", token=token)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=ChangeList)
    if not found.changes:
        click.echo(f"No change is known from the last {since}.")
        return
    print_table(
        ("No.", "kind", "target", "began", "ended", "by", "with", "detail"),
        (_row(change) for change in found.changes),
    )
    if found.limit_reached:
        click.echo(f"The {limit} newest are shown; --limit shows more.")


@changes.command()
@click.argument("kind", type=_KIND)
@click.argument("target")
@click.option("--actor", envvar="USER", default="unknown", help="Who did it.  [default: you]")
@click.option("--source", default="cli", show_default=True, help="The tool it was done with.")
@click.option("--detail", "details", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--ago", default="0s", show_default=True, metavar="AGE", help="When it began.")
@server_option
@token_option
@json_option
def add(
    kind: str,
    target: str,
    *,
    actor: str,
    source: str,
    details: tuple[str, ...],
    ago: str,
    server: str,
    token: str,
    as_json: bool,
) -> None:
    """Write down that TARGET was changed; KIND says how."""
    told = {
        "kind": kind,
        "target": target,
        "start_ms": _moment_before(ago),
        "actor": actor,
        "source": source,
        "detail": dict(_detail(text) for text in details),
    }
    body = ask(server, "/api/v1/changes", token=token, method="POST", told=told)
    change = msgspec.json.decode(body, type=Change)
    click.echo(body if as_json else f"Change {change.id}: {change.kind} of {change.target}.")


@changes.command()
@click.argument("number", type=click.IntRange(1))
@server_option
@token_option
@json_option
def end(number: int, server: str, token: str, *, as_json: bool) -> None:
    """Write down that change NUMBER is over now."""
    body = ask(server, f"/api/v1/changes/{number}/end", token=token, method="POST", told={})
    change = msgspec.json.decode(body, type=Change)
    click.echo(body if as_json else f"Change {change.id} ended {moment(change.end_ms)}.")


def _row(change: Change) -> tuple[str, ...]:
    times = (moment(change.start_ms), moment(change.end_ms))
    detail = " ".join(f"{key}={value}" for key, value in sorted(change.detail.items()))
    names = (str(change.id), change.kind.value, change.target)
    return (*names, *times, change.actor, change.source, detail)


def _moment_before(age: str) -> int:
    """The time so long ago by the clock of this terminal's machine, milliseconds."""
    return SystemClock().now_ms() - age_ms(age)


def age_ms(text: str) -> int:
    """`90s`, `15m`, `2h`, `1d` in milliseconds; raises a usage error naming the units."""
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not an age such as 90s, 15m, 2h or 1d")
    return int(match[1]) * _UNITS_MS[match[2]]


def _detail(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.BadParameter(f"--detail must look like KEY=VALUE, got {text!r}")
    return key, value
