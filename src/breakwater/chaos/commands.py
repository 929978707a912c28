"""`breakwater chaos`: inject, list and undo faults of a running platform."""

import getpass
from typing import Any, Final
from urllib.parse import quote

import click
import msgspec

from breakwater.chaos.fault import ChaosKind, Fault, Plan
from breakwater.model import CALL_POINTS
from breakwater.terminal import ask, json_option, moment, print_table, server_option, token_option

_PATH: Final = "/api/v1/chaos/faults"


class _Listing(msgspec.Struct):
    leashed: bool
    faults: list[Fault]


class _Undone(msgspec.Struct):
    undone: list[Fault]


@click.group()
def chaos() -> None:
    """Break something on purpose, and mend it again."""


@chaos.command()
@click.argument("kind", type=click.Choice([kind.value for kind in ChaosKind]))
@click.option("--service", required=True, help="The service to break, or that slow_edge leads to.")
@click.option("--instance", help="Only this instance.")
@click.option("--all-instances", is_flag=True, help="Process faults: every instance at once.")
@click.option("--caller", help="Only calls of this service; the slow end of slow_edge.")
@click.option(
    "--point",
    type=click.Choice(CALL_POINTS),
    help="latency, errors, hang: on which of the service's calls.  [default: inbound]",
)
@click.option("--peer", help="With --point: only calls to this service, cache, database, queue.")
@click.option("--endpoint", help="Only this endpoint.")
@click.option("--percent", type=float, help="Share of the calls, above 0 to 100.")
@click.option("--delay-ms", type=float, help="latency, slow_edge: how much is added.")
@click.option("--jitter-ms", type=float, help="latency, slow_edge: how much it varies.")
@click.option("--status", type=int, help="errors: the HTTP status answered.")
@click.option("--threads", type=int, help="cpu_burn: how many threads burn.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Must be equal.")
@click.option(
    "--duration", "duration_s", type=float, default=60.0, show_default=True, help="Seconds."
)
@click.option("--actor", help="Who asks.  [default: you]")
@click.option("--reason", default="", help="Why, for the journal.")
@click.option("--dry-run", is_flag=True, help="Only show what would be touched.")
@server_option
@token_option
@json_option
def inject(
    *,
    server: str,
    token: str,
    as_json: bool,
    dry_run: bool,
    headers: tuple[str, ...],
    actor: str | None,
    **fields: Any,  # Any: the remaining options, passed on as they are
) -> None:
    """Start a fault of KIND; it ends by itself after its duration."""
    wanted = {name: value for name, value in fields.items() if not _is_left_out(value)}
    wanted["actor"] = actor or getpass.getuser()
    if headers:
        wanted["headers"] = dict(_header(text) for text in headers)
    path = f"{_PATH}?dry_run=true" if dry_run else _PATH
    body = ask(server, path, token=token, method="POST", told=wanted)
    if as_json:
        click.echo(body)
        return
    if dry_run:
        plan = msgspec.json.decode(body, type=Plan)
        click.echo("\n".join(f"would {touch.what}" for touch in plan.targets))
        return
    fault = msgspec.json.decode(body, type=Fault)
    lasts_s = fault.request.duration_s
    click.echo(f"{fault.id}: {_touches(fault)}")
    click.echo(f"ends in {lasts_s:g} s, or by: breakwater chaos undo {fault.id}")
    if fault.note:
        click.echo(f"note: {fault.note}")


@chaos.command("list")
@click.option("--active", is_flag=True, help="Only those that run.")
@server_option
@token_option
@json_option
def list_faults(*, server: str, token: str, as_json: bool, active: bool) -> None:
    """Show running faults and those that ended lately."""
    body = ask(server, f"{_PATH}?active={str(active).lower()}", token=token)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=_Listing)
    if found.leashed:
        click.echo("chaos is leashed: it only shows what it would do")
    if not found.faults:
        click.echo("no faults")
        return
    headings = ("id", "state", "touches", "started", "ended or ends", "by")
    print_table(headings, (_row(fault) for fault in found.faults))


@chaos.command()
@click.argument("fault_id", required=False)
@click.option("--all", "everything", is_flag=True, help="Every fault that runs.")
@server_option
@token_option
@json_option
def undo(*, server: str, token: str, as_json: bool, fault_id: str | None, everything: bool) -> None:
    """End the fault FAULT_ID now, or --all."""
    if (fault_id is None) != everything:
        raise click.UsageError("give either the id of a fault or --all")
    path = _PATH if everything else f"{_PATH}/{quote(fault_id or '', safe='')}"
    body = ask(server, path, token=token, method="DELETE")
    if as_json:
        click.echo(body)
        return
    if everything:
        ended = msgspec.json.decode(body, type=_Undone).undone
    else:
        ended = [msgspec.json.decode(body, type=Fault)]
    for fault in ended:
        click.echo(f"{fault.id} {fault.state}: {_touches(fault)}")
    if not ended:
        click.echo("no fault was running")


def _is_left_out(value: object) -> bool:
    """Whether an option was not given; a zero was, and is for the platform to refuse."""
    return value is None or value is False or value == ""


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"'{text}' must look like NAME=VALUE", param_hint="--header")
    return name, value


def _touches(fault: Fault) -> str:
    return "; ".join(touch.what for touch in fault.targets)


def _row(fault: Fault) -> tuple[str, ...]:
    ended_ms = fault.ends_ms if fault.ended_ms is None else fault.ended_ms
    times = (moment(fault.started_ms), moment(ended_ms))
    return (fault.id, fault.state.value, _touches(fault), *times, fault.request.actor)
