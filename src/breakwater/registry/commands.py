"""`breakwater registry`: who is registered with a running server."""

import http.client
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from breakwater.model import InstanceView
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.json_codec import JsonCodec

if TYPE_CHECKING:
    from rich.table import Table

_TIMEOUT_S: Final = 10.0

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
def registry() -> None:
    """Who is there: the running instances of every service."""


@registry.command("list")
@click.option("--service", default="", help="Only the instances of this service.")
@_server
@_as_json
def list_(service: str, server: str, *, as_json: bool) -> None:
    """Show every registered instance."""
    query = f"?{urlencode({'service': service})}" if service else ""
    body = call(server, f"/api/v1/registry/instances{query}")
    if as_json:
        click.echo(body)
        return
    view = msgspec.json.decode(body, type=InstanceView)
    if not view.instances:
        click.echo(f"No instance{f' of {service}' if service else ''} is registered.")
        return
    table = _table("service", "instance", "address", "zone", "status")
    for one in sorted(view.instances, key=lambda one: (one.service, one.instance_id)):
        address = f"{one.host}:{one.port}"
        table.add_row(one.service, one.instance_id, address, one.zone or "-", one.status)
    _print(table)


@registry.command()
@click.argument("service")
@click.argument("instance", required=False)
@_server
@_as_json
def show(service: str, instance: str | None, server: str, *, as_json: bool) -> None:
    """Show all that is known of SERVICE, or of one INSTANCE of it."""
    path = f"/eureka/apps/{quote(service, safe='')}"
    body = call(server, path if instance is None else f"{path}/{quote(instance, safe='')}")
    if as_json:
        click.echo(body)
        return
    codec = JsonCodec()
    infos = codec.read_application(body) if instance is None else [codec.read_instance(body)]
    for info in infos:
        _print(_facts(info))


def _facts(info: InstanceInfo) -> "Table":
    override = "" if info.overridden_status == "UNKNOWN" else " (set by an operator)"
    table = _table(info.service, info.instance_id)
    lease = info.lease
    for name, value in (
        ("status", f"{info.status}{override}"),
        ("address", f"{info.host_name} ({info.ip_addr}), port {info.native().port}"),
        ("zone", info.zone or "-"),
        ("registered", _moment(lease.registration_ms)),
        ("last renewal", _moment(lease.last_renewal_ms)),
        ("lease", f"{lease.duration_s} s, renewed every {lease.renewal_interval_s} s"),
        ("health check", info.health_check_url or "-"),
        *((f"metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ):
        table.add_row(name, value)
    return table


def _table(*headings: str) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only a table needs it

    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console  # noqa: PLC0415 - only a table needs it

    Console(markup=False).print(table)


def _moment(time_ms: int) -> str:
    if not time_ms:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def call(server: str, path: str) -> bytes:
    """What the server answers to GET `path`; a refusal becomes a plain message."""
    if not server.startswith(("http://", "https://")):
        raise click.BadParameter(f"--server must be an http or https URL, got {server}")
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at just above
        server.rstrip("/") + path, headers={"accept": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - same
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(error.read(1000).decode(errors="replace")) from None
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"{server} does not answer ({error}); is `breakwater serve` running there? "
            f"--server or BREAKWATER_URL names another place"
        ) from None
    return body
