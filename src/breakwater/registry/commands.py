"""`breakwater registry`: who is registered with a running server."""

from collections.abc import Iterator
from urllib.parse import quote, urlencode

import click
import msgspec

from breakwater.model import InstanceView
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.json_codec import JsonCodec
from breakwater.terminal import ask, json_option, moment, print_table, server_option, token_option


@click.group()
def registry() -> None:
    """Who is there: the running instances of every service."""


@registry.command("list")
@click.option("--service", default="", help="Only the instances of this service.")
@server_option
@token_option
@json_option
def list_(service: str, server: str, token: str, *, as_json: bool) -> None:
    """Show every registered instance."""
    query = f"?{urlencode({'service': service})}" if service else ""
    body = ask(server, f"/api/v1/registry/instances{query}", token=token)
    if as_json:
        click.echo(body)
        return
    view = msgspec.json.decode(body, type=InstanceView)
    if not view.instances:
        click.echo(f"No instance{f' of {service}' if service else ''} is registered.")
        return
    print_table(
        ("service", "instance", "address", "zone", "status"),
        (
            (one.service, one.instance_id, f"{one.host}:{one.port}", one.zone or "-", one.status)
            for one in sorted(view.instances, key=lambda one: (one.service, one.instance_id))
        ),
    )


@registry.command()
@click.argument("service")
@click.argument("instance", required=False)
@server_option
@token_option
@json_option
def show(service: str, instance: str | None, server: str, token: str, *, as_json: bool) -> None:
    """Show all that is known of SERVICE, or of one INSTANCE of it."""
    path = f"/eureka/apps/{quote(service, safe='')}"
    if instance is not None:
        path = f"{path}/{quote(instance, safe='')}"
    body = ask(server, path, token=token)
    if as_json:
        click.echo(body)
        return
    codec = JsonCodec()
    infos = codec.read_application(body) if instance is None else [codec.read_instance(body)]
    for info in infos:
        print_table((info.service, info.instance_id), _facts(info))


def _facts(info: InstanceInfo) -> Iterator[tuple[str, str]]:
    """What is worth a line of its own, each with its name."""
    override = "" if info.overridden_status == "UNKNOWN" else " (set by an operator)"
    lease = info.lease
    yield "status", f"{info.status}{override}"
    yield "address", f"{info.host_name} ({info.ip_addr}), port {info.native().port}"
    yield "zone", info.zone or "-"
    yield "registered", moment(lease.registration_ms)
    yield "last renewal", moment(lease.last_renewal_ms)
    yield "lease", f"{lease.duration_s} s, renewed every {lease.renewal_interval_s} s"
    yield "health check", info.health_check_url or "-"
    for key, value in sorted(info.metadata.items()):
        yield f"metadata {key}", value
