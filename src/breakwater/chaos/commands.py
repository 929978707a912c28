"""`breakwater chaos`: inject, list and undo faults of a running platform."""

import getpass
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

import click

from breakwater.chaos.fault import ChaosKind

_TIMEOUT_S: Final = 30.0
_PATH: Final = "/api/v1/chaos/faults"

_server = click.option(
    "--server",
    envvar="BREAKWATER_URL",
    default="http://127.0.0.1:7101",
    show_default=True,
    show_envvar=True,
    help="Address of the platform.",
)
_token = click.option(
    "--token", envvar="BREAKWATER_TOKEN", default="", help="Token with the role chaos, if needed."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print the platform's JSON answer.")


class PlatformError(click.ClickException):
    """The platform refused, or cannot be reached; exit code 1 and its message."""


@click.group()
def chaos() -> None:
    """Break something on purpose, and mend it again."""


@chaos.command()
@click.argument("kind", type=click.Choice([kind.value for kind in ChaosKind]))
@click.option("--service", required=True, help="The service to break, or that slow_edge leads to.")
@click.option("--instance", help="Only this instance.")
@click.option("--all-instances", is_flag=True, help="Process faults: every instance at once.")
@click.option("--caller", help="Only calls of this service; the slow end of slow_edge.")
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
@_server
@_token
@_as_json
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
    wanted = {name: value for name, value in fields.items() if value not in (None, False, "")}
    wanted["actor"] = actor or getpass.getuser()
    if headers:
        wanted["headers"] = dict(_header(text) for text in headers)
    path = f"{_PATH}?dry_run=true" if dry_run else _PATH
    answer = _ask(server, token, "POST", path, wanted)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if dry_run:
        click.echo("would " + "\nwould ".join(touch["what"] for touch in answer["targets"]))
        return
    click.echo(f"{answer['id']}: {_touches(answer)}")
    click.echo(f"ends in {wanted['duration_s']:g} s, or by: breakwater chaos undo {answer['id']}")
    if answer["note"]:
        click.echo(f"note: {answer['note']}")


@chaos.command("list")
@click.option("--active", is_flag=True, help="Only those that run.")
@_server
@_token
@_as_json
def list_faults(*, server: str, token: str, as_json: bool, active: bool) -> None:
    """Show running faults and those that ended lately."""
    answer = _ask(server, token, "GET", f"{_PATH}?active={str(active).lower()}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if answer["leashed"]:
        click.echo("chaos is leashed: it only shows what it would do")
    if not answer["faults"]:
        click.echo("no faults")
        return
    _print_table(answer["faults"])


@chaos.command()
@click.argument("fault_id", required=False)
@click.option("--all", "everything", is_flag=True, help="Every fault that runs.")
@_server
@_token
@_as_json
def undo(*, server: str, token: str, as_json: bool, fault_id: str | None, everything: bool) -> None:
    """End the fault FAULT_ID now, or --all."""
    if (fault_id is None) != everything:
        raise click.UsageError("give either the id of a fault or --all")
    path = _PATH if everything else f"{_PATH}/{urllib.parse.quote(fault_id or '', safe='')}"
    answer = _ask(server, token, "DELETE", path)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    ended = answer["undone"] if everything else [answer]
    for fault in ended:
        click.echo(f"{fault['id']} {fault['state']}: {_touches(fault)}")
    if not ended:
        click.echo("no fault was running")


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"'{text}' must look like NAME=VALUE", param_hint="--header")
    return name, value


def _touches(fault: dict[str, Any]) -> str:
    return "; ".join(touch["what"] for touch in fault["targets"])


def _print_table(faults: list[dict[str, Any]]) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415 - only this table needs it

    from rich.console import Console  # noqa: PLC0415 - loading rich takes longer than the request
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table("id", "state", "touches", "started (UTC)", "ended or ends", "by", box=None)
    for fault in faults:
        started, ended = (
            datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")
            for at_ms in (fault["started_ms"], fault["ended_ms"] or fault["ends_ms"])
        )
        actor = fault["request"].get("actor", "unknown")
        table.add_row(fault["id"], fault["state"], _touches(fault), started, ended, actor)
    Console().print(table)


def _ask(server: str, token: str, method: str, path: str, body: object = None) -> Any:
    """One request to the platform; Any: whatever JSON it answered."""
    if not server.startswith(("http://", "https://")):
        raise PlatformError(f"--server is '{server}', must begin with http:// or https://")
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        server.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    if token:
        request.add_header("authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the platform is near
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise PlatformError(_message(error)) from error
    except (OSError, ValueError) as error:
        raise PlatformError(
            f"no platform answers at {server} ({error}); start one with: breakwater serve"
        ) from error


def _message(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            return str(json.load(error)["message"])
        except (ValueError, KeyError, TypeError):
            return f"the platform answered {error.code} {error.reason}"
