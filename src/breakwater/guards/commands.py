"""`breakwater guard`: what guarded commands do, and what they go by."""

import getpass
import itertools
import threading
from typing import Any, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from breakwater.guards.setting import GuardSetting
from breakwater.guards.view import CommandView, GuardView, ServiceGuards
from breakwater.model import GuardConfig
from breakwater.terminal import ask, json_option, moment, print_table, server_option, token_option

_PATH: Final = "/api/v1/guards"
_HEADINGS: Final = (
    "command", "circuit", "hosts", "calls/s", "errors", "busy", "refused", "fallback", "p50",
    "p99",
)  # fmt: skip
_REFUSALS: Final = ("ShortCircuited", "SemaphoreRejected", "ThreadPoolRejected")


class _Listing(msgspec.Struct):
    settings: list[GuardSetting]


@click.group()
def guard() -> None:
    """See what guarded commands do, and set what they go by."""


service_option = click.option("--service", help="Only of this service.")


@guard.command("list")
@service_option
@server_option
@token_option
@json_option
def list_commands(*, server: str, token: str, as_json: bool, service: str | None) -> None:
    """Show every guarded command, the worst first."""
    body = ask(server, _view_path(service), token=token)
    if as_json:
        click.echo(body)
        return
    view = msgspec.json.decode(body, type=GuardView)
    commands = _worst_first(view)
    if commands:
        print_table(_HEADINGS, map(_row, commands))
    for each in view.services:
        _tell_of_instances(each, is_quiet=bool(commands))
    if not view.services:
        click.echo("no service is registered")


@guard.command()
@click.argument("command")
@service_option
@server_option
@token_option
@json_option
def show(*, server: str, token: str, as_json: bool, service: str | None, command: str) -> int:
    """Show all that is known of COMMAND."""
    body = ask(server, _view_path(service), token=token)
    found = [
        each
        for each in _worst_first(msgspec.json.decode(body, type=GuardView))
        if each.name == command
    ]
    if as_json:
        click.echo(msgspec.json.encode(found))
    for each in () if as_json else found:
        print_table(("field", each.name), _details(each))
    if not found and not as_json:
        click.echo(f"no instance that reports has a command '{command}'")
    return 0 if found else 1


@guard.command()
@service_option
@click.option("--every", "every_s", type=click.FloatRange(0.2), default=1.0, show_default=True)
@click.option("--count", type=click.IntRange(1), help="End after so many looks.")
@server_option
@token_option
@json_option
def watch(
    *,
    server: str,
    token: str,
    as_json: bool,
    service: str | None,
    every_s: float,
    count: int | None,
) -> None:
    """Show the commands again and again, until interrupted."""
    pause = threading.Event()
    looks = range(count) if count else itertools.count()
    if as_json:
        for look in looks:
            if look:
                pause.wait(every_s)
            click.echo(ask(server, _view_path(service), token=token))
        return
    from rich.live import Live  # noqa: PLC0415 - loading rich takes longer than the request

    with Live(auto_refresh=False, screen=False) as live:
        for look in looks:
            if look:
                pause.wait(every_s)
            body = ask(server, _view_path(service), token=token)
            view = msgspec.json.decode(body, type=GuardView)
            live.update(_table(view), refresh=True)


@guard.command("suggest")
@click.argument("service")
@click.option("--command", help="Only this command.")
@click.option("--last", default="1h", show_default=True, help="How far back to look.")
@click.option("--deadline", "deadline_s", type=float, help="Seconds that callers wait.")
@server_option
@token_option
@json_option
def suggest_settings(
    *,
    server: str,
    token: str,
    as_json: bool,
    service: str,
    command: str | None,
    last: str,
    deadline_s: float | None,
) -> None:
    """Suggest settings for the commands of SERVICE from what they recorded; changes nothing."""
    from breakwater.guards import advice  # noqa: PLC0415 - needs the SDK's rules

    view = msgspec.json.decode(ask(server, _view_path(service), token=token), type=GuardView)
    answers = {
        name: ask(server, path, token=token)
        for name, path in advice.questions(service, last).items()
    }
    found = [
        one
        for one in advice.advise(service, view, answers, deadline_s=deadline_s)
        if command in {None, one.command}
    ]
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    if not found:
        click.echo(f"no call of {command or service} was recorded in the last {last}")
        return
    rows = advice.rows(found)
    if rows:
        print_table(("command", "key", "now", "better", "because"), rows)
        click.echo(f"to follow one: breakwater guard set KEY VALUE --service {service} --command C")
    for one in found:
        for text in one.suggestions.unknown:
            click.echo(f"{one.command}: {text}")


@guard.command("set")
@click.argument("key")
@click.argument("value")
@service_option
@click.option("--group", help="Only commands of this group.")
@click.option("--command", help="Only this command.")
@click.option("--for", "duration_s", type=float, help="Seconds after which it ends by itself.")
@click.option("--actor", help="Who asks.  [default: you]")
@click.option("--reason", default="", help="Why, for the journal.")
@server_option
@token_option
@json_option
def set_key(
    *,
    server: str,
    token: str,
    as_json: bool,
    key: str,
    value: str,
    service: str | None,
    group: str | None,
    command: str | None,
    duration_s: float | None,
    actor: str | None,
    reason: str,
) -> None:
    """Let KEY be VALUE, as `breaker.open_s 5`; `none` leaves a part out.

    For every command of every service, unless told otherwise.
    """
    from breakwater.sdk import setting_of_text  # noqa: PLC0415 - only to read what was typed

    told = {
        "key": key,
        "value": setting_of_text(key, value),
        **_whose(service, group, command),
        "actor": actor or getpass.getuser(),
        "reason": reason,
        "duration_s": duration_s,
    }
    body = ask(server, f"{_PATH}/config", token=token, method="PUT", told=told)
    if as_json:
        click.echo(body)
        return
    setting = msgspec.json.decode(body, type=GuardSetting)
    click.echo(f"set: {_said(setting)}")


@guard.command()
@click.argument("key")
@service_option
@click.option("--group", help="The one for this group.")
@click.option("--command", help="The one for this command.")
@click.option("--actor", help="Who asks.  [default: you]")
@click.option("--reason", default="", help="Why, for the journal.")
@server_option
@token_option
@json_option
def unset(
    *,
    server: str,
    token: str,
    as_json: bool,
    key: str,
    service: str | None,
    group: str | None,
    command: str | None,
    actor: str | None,
    reason: str,
) -> None:
    """Take the setting of KEY back; what is beneath it is in force again."""
    given = {
        "key": key,
        **_whose(service, group, command),
        "actor": actor or getpass.getuser(),
        "reason": reason,
    }
    query = urlencode({name: text for name, text in given.items() if text})
    body = ask(server, f"{_PATH}/config?{query}", token=token, method="DELETE")
    if as_json:
        click.echo(body)
        return
    setting = msgspec.json.decode(body, type=GuardSetting)
    click.echo(f"taken back: {_said(setting)}")


@guard.command()
@service_option
@click.option("--effective", is_flag=True, help="What the service is told, with its revision.")
@server_option
@token_option
@json_option
def config(*, server: str, token: str, as_json: bool, service: str | None, effective: bool) -> None:
    """Show the settings in force: for whom, by whom, why and until when."""
    if effective:
        if not service:
            raise click.UsageError("--effective needs --service")
        body = ask(server, f"{_PATH}/config?service={quote(service, safe='')}", token=token)
        msgspec.json.decode(body, type=GuardConfig)
        click.echo(body if as_json else msgspec.json.format(body))
        return
    query = f"?service={quote(service, safe='')}" if service else ""
    body = ask(server, f"{_PATH}/settings{query}", token=token)
    if as_json:
        click.echo(body)
        return
    found = msgspec.json.decode(body, type=_Listing).settings
    if not found:
        click.echo("nothing is set: commands go by what their code, files and environment say")
        return
    headings = ("service", "for", "key", "value", "by", "since", "until", "why")
    print_table(headings, map(_setting_row, found))


@guard.command("keys")
@click.argument("beginning", default="")
def list_keys(*, beginning: str) -> None:
    """Show what can be set: every key, or those that begin like BEGINNING."""
    from breakwater.sdk import setting_keys  # noqa: PLC0415 - only for this command

    found = [key for key in setting_keys().values() if key.path.startswith(beginning)]
    if not found:
        click.echo(f"no key begins with '{beginning}'")
        return
    shown = [(key.path, key.allowed, key.default) for key in found]
    print_table(("key", "allowed", "default"), shown)


def _view_path(service: str | None) -> str:
    return f"{_PATH}?service={quote(service, safe='')}" if service else _PATH


def _whose(service: str | None, group: str | None, command: str | None) -> dict[str, str]:
    if group and command:
        raise click.UsageError("give either --group or --command")
    scope = "group" if group else "command" if command else "default"
    return {"service": service or "", "scope": scope, "name": group or command or ""}


def _worst_first(view: GuardView) -> list[CommandView]:
    commands = [command for service in view.services for command in service.commands]
    return sorted(commands, key=_badness)


def _badness(command: CommandView) -> tuple[Any, ...]:
    is_open = command.open_hosts > 0
    return (not is_open, -command.error_percent, -command.requests_per_s, command.name)


def _row(command: CommandView) -> tuple[str, ...]:
    counts = command.counts
    refused = sum(counts.get(name, 0) for name in _REFUSALS)
    circuit = command.state.value.replace("_", " ")
    if 0 < command.open_hosts < command.hosts:
        circuit = f"open on {command.open_hosts}"
    return (
        f"{command.service}/{command.name}",
        circuit,
        str(command.hosts),
        f"{command.requests_per_s:.1f}",
        f"{command.error_percent:.0f} %",
        str(command.in_flight),
        str(refused),
        str(counts.get("FallbackSuccess", 0)),
        f"{command.latency_ms.get('50', 0.0):.0f} ms",
        f"{command.latency_ms.get('99', 0.0):.0f} ms",
    )


def _details(command: CommandView) -> list[tuple[str, str]]:
    told = msgspec.to_builtins(command)
    rows: list[tuple[str, str]] = []
    for name, value in told.items():
        if isinstance(value, dict):
            rows += [(f"{name} {key}", _number(inner)) for key, inner in value.items()]
        elif name != "name":
            rows.append((name, _number(value)))
    return rows


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tell_of_instances(service: ServiceGuards, *, is_quiet: bool) -> None:
    """Say whose stream cannot be read; and of services without any, unless others report."""
    for each in service.instances:
        if each.state != "streaming" and not (is_quiet and each.state == "no_stream"):
            click.echo(f"{each.instance}: {each.state}, {each.last_failure or each.url}")
    if service.left_out:
        click.echo(f"{service.service}: {len(service.left_out)} instances are not read, too many")


def _table(view: GuardView) -> Any:
    """The list as rich shows it again and again."""
    from rich.table import Table  # noqa: PLC0415 - see watch
    from rich.text import Text  # noqa: PLC0415 - see watch

    table = Table(title=moment(view.at_ms))
    for heading in _HEADINGS:
        table.add_column(heading)
    for command in _worst_first(view):
        colour = "red" if command.open_hosts else "yellow" if command.error_percent >= 10 else ""
        table.add_row(*(Text(cell, style=colour) for cell in _row(command)))
    return table


def _said(setting: GuardSetting) -> str:
    value = msgspec.json.encode(setting.value).decode()
    until = f" until {moment(setting.expires_ms)}" if setting.expires_ms else ""
    return (
        f"{setting.key} = {value} for {_whom(setting)} "
        f"of {setting.service or 'all services'}{until}"
    )


def _whom(setting: GuardSetting) -> str:
    return "all commands" if setting.scope == "default" else f"{setting.scope} {setting.name}"


def _setting_row(setting: GuardSetting) -> tuple[str, ...]:
    return (
        setting.service or "all",
        _whom(setting),
        setting.key,
        msgspec.json.encode(setting.value).decode(),
        setting.actor,
        moment(setting.set_ms),
        moment(setting.expires_ms),
        setting.reason,
    )
