"""The commands that only look."""

import itertools
import sys
import threading
from typing import Any, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from breakwater.model import Instance, InstanceView, SystemClock, ViewChange
from breakwater.registry.acting.acts import ActList
from breakwater.registry.commands import drawing
from breakwater.registry.native.record import InstanceRecord
from breakwater.registry.spelling.json_codec import JsonCodec
from breakwater.terminal import (
    NoAnswerError,
    RefusedError,
    ask,
    json_option,
    print_table,
    server_option,
    token_option,
)

BASE: Final = "/api/v1/registry"
_WAIT_S: Final = 20
_PAUSE_S: Final = 1.0
_SHOWN_EVENTS: Final = 8

service_option = click.option("--service", default="", help="Only of this service.")

Key = tuple[str, str]


@click.command("list")
@service_option
@server_option
@token_option
@json_option
def list_(*, service: str, server: str, token: str, as_json: bool) -> None:
    """Show every instance that is not proven gone, and what Eureka would make of it."""
    body = ask(server, f"{BASE}/instances{_query(service=service)}", token=token)
    if as_json:
        click.echo(body)
        return
    view = msgspec.json.decode(body, type=InstanceView)
    if not view.instances:
        click.echo(f"No instance{f' of {service}' if service else ''} is registered.")
        return
    now_ms = SystemClock().now_ms()
    found = drawing.sorted_instances(view.instances)
    print_table(drawing.INSTANCES, (drawing.instance_row(one, now_ms) for one in found))
    click.echo(f"{drawing.summary(found)}; revision {view.revision}")
    classic = _classic(server, token)
    if classic:
        click.echo(classic)


@click.command()
@click.argument("service")
@click.argument("instance", required=False)
@server_option
@token_option
@json_option
def show(*, service: str, instance: str | None, server: str, token: str, as_json: bool) -> None:
    """Show all that is known of SERVICE, or of one INSTANCE of it, with the evidence."""
    names = [instance] if instance is not None else _names(service, server, token)
    bodies = [ask(server, record_path(service, name), token=token) for name in names]
    if as_json:
        click.echo(bodies[0] if instance is not None else b"[" + b",".join(bodies) + b"]")
        return
    for body in bodies:
        record = msgspec.json.decode(body, type=InstanceRecord)
        one = record.instance
        print_table((one.service, one.instance_id), drawing.facts(record))
        if record.callers:
            rows = (drawing.caller_row(told, record.at_ms) for told in record.callers)
            print_table(drawing.CALLERS, rows)


@click.command()
@service_option
@click.option("--lines", is_flag=True, help="One line for each change, not a table.")
@click.option("--count", type=click.IntRange(1), help="End after so many changes.")
@server_option
@token_option
@json_option
def watch(
    *, service: str, lines: bool, count: int | None, server: str, token: str, as_json: bool
) -> None:
    """Show what changes as it changes, until interrupted; --json prints one change a line."""
    follower = _Follower(service, server, token)
    rounds = range(count) if count else itertools.count()
    if as_json:
        for _ in rounds:
            click.echo(msgspec.json.encode(follower.next()))
    elif lines or not sys.stdout.isatty():
        for _ in rounds:
            for line in follower.lines(follower.next()):
                click.echo(line)
    else:
        _watch_live(follower, rounds)


@click.command()
@click.option("--all", "is_ended_too", is_flag=True, help="Those that ended of late too.")
@service_option
@server_option
@token_option
@json_option
def acts(*, is_ended_too: bool, service: str, server: str, token: str, as_json: bool) -> None:
    """Show what operators did to instances, as far as it is in force."""
    query = _query(service=service, all="true" if is_ended_too else "")
    body = ask(server, f"{BASE}/acts{query}", token=token)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=ActList).acts
    if not found:
        click.echo("no act is in force")
        return
    print_table(drawing.ACTS, map(drawing.act_row, found))


@click.command()
@server_option
@token_option
@json_option
def peers(*, server: str, token: str, as_json: bool) -> None:
    """Show how it stands between this registry and its peers."""
    body = ask(server, f"{BASE}/peers", token=token)
    if as_json:
        click.echo(body)
        return
    from breakwater.registry.peers.peering import (  # noqa: PLC0415 - loads what talks to peers
        PeersView,
    )

    view = msgspec.json.decode(body, type=PeersView)
    if not view.peers:
        click.echo(f"{view.name} has no peers")
        return
    now_ms = SystemClock().now_ms()
    print_table(drawing.PEERS, (drawing.peer_row(peer, now_ms) for peer in view.peers))
    readiness = "answers" if view.is_ready else "asks its peers first, and answers nobody yet"
    click.echo(f"{view.name} {readiness}")


COMMANDS: Final = (list_, show, watch, acts, peers)


class _Follower:
    """The instances as they are, one change after the other."""

    def __init__(self, service: str, server: str, token: str) -> None:
        self._service = service
        self._server = server
        self._token = token
        self._revision: int | None = None
        self._clock = SystemClock()
        self._pause = threading.Event()
        self.instances: dict[Key, Instance] = {}

    def next(self) -> ViewChange:
        """Wait for the next change; a server that went away is asked again until it is back."""
        while True:
            before = self._revision
            change = self._ask()
            self._revision = change.revision
            if change.since is None or change.instances or change.gone or before is None:
                return change

    def _ask(self) -> ViewChange:
        while True:
            known = {} if self._revision is None else {"revision": str(self._revision)}
            query = _query(service=self._service, wait_s=str(_WAIT_S), **known)
            try:
                body = ask(self._server, f"{BASE}/changes{query}", token=self._token)
            except NoAnswerError as error:
                if self._revision is None:
                    raise
                click.echo(f"{error}; trying again", err=True)
                self._pause.wait(_PAUSE_S)
                continue
            return msgspec.json.decode(body, type=ViewChange)

    def lines(self, change: ViewChange) -> list[str]:
        """What a change did, a line for each instance; takes it in."""
        now_ms = self._clock.now_ms()
        before = self.instances
        gone = [(key.service, key.instance_id) for key in change.gone]
        if change.since is None:
            present = {(one.service, one.instance_id) for one in change.instances}
            gone = [key for key in before if key not in present]
        told = [drawing.change_line("-", before[key], now_ms) for key in gone if key in before]
        after = {key: one for key, one in before.items() if key not in gone}
        for one in drawing.sorted_instances(change.instances):
            key = (one.service, one.instance_id)
            if before.get(key) != one:
                told.append(drawing.change_line("~" if key in before else "+", one, now_ms))
            after[key] = one
        self.instances = after
        return told

    def table(self, told: list[str]) -> Any:  # Any: rich is loaded where it is drawn
        """The instances, and the latest lines beneath."""
        from rich.console import Group  # noqa: PLC0415 - loading rich takes longer than a request
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        now_ms = self._clock.now_ms()
        table = Table()
        for heading in drawing.INSTANCES:
            table.add_column(heading, overflow="fold")
        found = drawing.sorted_instances(self.instances.values())
        for one in found:
            table.add_row(*map(Text, drawing.instance_row(one, now_ms)))
        text = "\n".join([f"{drawing.summary(found)}; revision {self._revision}", *told])
        return Group(table, Text(text))


def _watch_live(follower: _Follower, rounds: Any) -> None:  # Any: a range, or without an end
    from rich.live import Live  # noqa: PLC0415 - loading rich takes longer than the request

    told: list[str] = []
    with Live(auto_refresh=False, screen=False, vertical_overflow="visible") as live:
        for number in rounds:
            news = follower.lines(follower.next())
            told = [*told, *(news if number else [])][-_SHOWN_EVENTS:]
            live.update(follower.table(told), refresh=True)


def record_path(service: str, instance: str) -> str:
    """Where all that is known of one instance is answered."""
    return f"{BASE}/instances/{quote(service, safe='')}/{quote(instance, safe='')}"


def _names(service: str, server: str, token: str) -> list[str]:
    """The ids of a service, those that are proven gone but still hold a lease among them."""
    body = ask(server, f"/eureka/apps/{quote(service, safe='')}", token=token)
    return sorted(info.instance_id for info in JsonCodec().read_application(body))


def _classic(server: str, token: str) -> str:
    """Eureka's own figures, in its own terms; nothing where they are not to be had."""
    try:
        body = ask(server, "/eureka/status", token=token)
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (RefusedError, NoAnswerError, msgspec.DecodeError):
        return ""
    told = next(iter(said.values()), None) if "applicationStats" not in said else said
    numbers = told.get("applicationStats") if isinstance(told, dict) else None
    if not isinstance(numbers, dict):
        return ""
    keeps = "would evict nobody" if numbers.get("self-preservation") == "true" else "would evict"
    return (
        f"Eureka's figures: {numbers.get('expected-clients')} clients expected, "
        f"{numbers.get('renews-last-min')} renewals in the last minute, threshold "
        f"{numbers.get('renews-threshold')}: it {keeps}"
    )


def _query(**told: str) -> str:
    given = {name: value for name, value in told.items() if value}
    return f"?{urlencode(given)}" if given else ""
