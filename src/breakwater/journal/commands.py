"""`breakwater changes`: what was done to the fleet, read from and told to a running server."""

import http.client
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import click
import msgspec

from breakwater.journal.exchange import ChangeList
from breakwater.model import Change, ChangeKind

_TIMEOUT_S: Final = 10.0
_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_KIND: Final = click.Choice([kind.value for kind in ChangeKind], case_sensitive=False)

_server = click.option(
    "--server",
    envvar="BREAKWATER_URL",
    default="http://127.0.0.1:7101",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where the platform answers.",
)
_as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, as the server gave it."
)


@click.group()
def changes() -> None:
    """What changed: deploys, configuration, flags, faults, failovers."""


@changes.command("list")
@click.option("--since", default="1h", show_default=True, metavar="AGE", help="90s, 15m, 2h, 1d.")
@click.option("--kind", "kinds", multiple=True, type=_KIND)
@click.option("--target", default="", help="Only changes to this service, instance or edge.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@_server
@_as_json
def list_(
    since: str, kinds: tuple[str, ...], target: str, limit: int, server: str, *, as_json: bool
) -> None:
    """Show the changes of the last hour, or of --since."""
    query = {"start": now_ms() - age_ms(since), "kind": ",".join(kinds), "target": target}
    body = call(server, f"/api/v1/changes?{urlencode(query | {'limit': limit})}")
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=ChangeList)
    if not found.changes:
        click.echo(f"No change is known from the last {since}.")
        return
    print_changes(found.changes)
    if found.limit_reached:
        click.echo(f"The {limit} newest are shown; --limit shows more.")


@changes.command()
@click.argument("kind", type=_KIND)
@click.argument("target")
@click.option("--actor", envvar="USER", default="unknown", help="Who did it.  [default: you]")
@click.option("--source", default="cli", show_default=True, help="The tool it was done with.")
@click.option("--detail", "details", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--ago", default="0s", show_default=True, metavar="AGE", help="When it began.")
@_server
@_as_json
def add(
    kind: str,
    target: str,
    *,
    actor: str,
    source: str,
    details: tuple[str, ...],
    ago: str,
    server: str,
    as_json: bool,
) -> None:
    """Write down that TARGET was changed; KIND says how."""
    told = {
        "kind": kind,
        "target": target,
        "start_ms": now_ms() - age_ms(ago),
        "actor": actor,
        "source": source,
        "detail": dict(_detail(text) for text in details),
    }
    body = call(server, "/api/v1/changes", told)
    change = msgspec.json.decode(body, type=Change)
    click.echo(body if as_json else f"Change {change.id}: {change.kind} of {change.target}.")


@changes.command()
@click.argument("number", type=click.IntRange(1))
@_server
@_as_json
def end(number: int, server: str, *, as_json: bool) -> None:
    """Write down that change NUMBER is over now."""
    body = call(server, f"/api/v1/changes/{number}/end", {})
    change = msgspec.json.decode(body, type=Change)
    click.echo(body if as_json else f"Change {change.id} ended {moment(change.end_ms)}.")


def print_changes(found: list[Change]) -> None:
    """A table of changes, newest first."""
    from rich.console import Console  # noqa: PLC0415 - only a table needs it
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    for heading in ("No.", "kind", "target", "began (UTC)", "ended", "by", "with", "detail"):
        table.add_column(heading, overflow="fold")
    for one in found:
        detail = " ".join(f"{key}={value}" for key, value in sorted(one.detail.items()))
        table.add_row(
            *(str(one.id), one.kind.value, one.target, moment(one.start_ms), moment(one.end_ms)),
            *(one.actor, one.source, detail),
        )
    Console(markup=False).print(table)


def moment(time_ms: int | None) -> str:
    """A point of time as a person reads it; a dash for none."""
    if time_ms is None:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def age_ms(text: str) -> int:
    """`90s`, `15m`, `2h`, `1d` in milliseconds; raises a usage error naming the units."""
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not an age such as 90s, 15m, 2h or 1d")
    return int(match[1]) * _UNITS_MS[match[2]]


def now_ms() -> int:
    """The time on this terminal's machine, in milliseconds."""
    return time.time_ns() // 1_000_000


def call(server: str, path: str, told: object = None) -> bytes:
    """What the server answers to GET, or to POST of `told`; a refusal becomes a plain message."""
    if not server.startswith(("http://", "https://")):
        raise click.BadParameter(f"--server must be an http or https URL, got {server}")
    data = None if told is None else msgspec.json.encode(told)
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at just above
        server.rstrip("/") + path, data=data, headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - same
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_reason(error.read(), error.code)) from None
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"{server} does not answer ({error}); is `breakwater serve` running there? "
            f"--server or BREAKWATER_URL names another place"
        ) from None
    return body


def _reason(body: bytes, status_code: int) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, str])["message"])
    except (msgspec.DecodeError, KeyError):
        return f"the server answered {status_code}"


def _detail(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.BadParameter(f"--detail must look like KEY=VALUE, got {text!r}")
    return key, value
