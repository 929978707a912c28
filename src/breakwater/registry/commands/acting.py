"""The commands that do something to an instance."""

import getpass
import re
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from breakwater.model import SystemClock
from breakwater.registry.acting.acts import MAX_FOR_S, Act, ActList
from breakwater.registry.commands import drawing
from breakwater.registry.commands.reading import BASE, record_path
from breakwater.registry.instance_info import InstanceStatus
from breakwater.registry.native.record import CallerSaw, InstanceRecord
from breakwater.terminal import (
    NoAnswerError,
    RefusedError,
    ask,
    json_option,
    moment,
    server_option,
    token_option,
)

_LOOK_S: Final = 0.5
_SETTLE_S: Final = 6.0
"""Callers tell what they saw every few seconds: silence counts after that."""

_STALE_S: Final = 10.0
_UNITS: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_STATUSES: Final = [one.value for one in InstanceStatus if one is not InstanceStatus.UNKNOWN]


class _Span(click.ParamType[float]):
    """Seconds, or minutes, hours, days: 90, 90s, 10m, 2h, 1d."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The time in seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?", str(value).strip())
        seconds = float(found[1]) * _UNITS[found[2] or ""] if found else 0.0
        if not 0 < seconds <= MAX_FOR_S:
            self.fail(f"'{value}' must be a time up to 30 days, as 90, 90s, 10m or 2h", param, ctx)
        return seconds


_Command = Callable[..., Any]


def _act_options(command: _Command) -> _Command:
    """What every act takes."""
    for option in (
        json_option,
        token_option,
        server_option,
        click.option("--actor", help="Who asks.  [default: you]"),
        click.option("--reason", default="", help="Why, for the journal."),
        click.argument("instance"),
        click.argument("service"),
    ):
        command = option(command)
    return command


for_option = click.option("--for", "for_s", type=_Span(), help="When it ends by itself: 10m, 2h.")


@click.command()
@_act_options
@click.option("--hold", "for_s", type=_Span(), help="Keep it out of service so long: 10m, 2h.")
def drop(**given: Any) -> None:
    """Remove INSTANCE of SERVICE now; unless it is held out, it is back when it renews."""
    _carry_out("drop", given)


@click.command()
@_act_options
@for_option
@click.option("--wait", "is_waiting", is_flag=True, help="Until callers report no more calls.")
@click.option("--timeout", "timeout_s", type=_Span(), default=60.0, help="Of --wait: 90s, 5m.")
def drain(*, is_waiting: bool, timeout_s: float, **given: Any) -> int:
    """Take INSTANCE of SERVICE out of service, so that callers go elsewhere.

    With --wait the answer is 1 if calls still come when the time is over.
    """
    act = _carry_out("drain", given)
    return _wait_for_quiet(act, given, timeout_s) if is_waiting else 0


@click.command()
@_act_options
@for_option
def pin(**given: Any) -> None:
    """Keep INSTANCE of SERVICE, whatever the evidence: it is neither hidden nor removed."""
    _carry_out("pin", given)


@click.command()
@_act_options
def unpin(**given: Any) -> int:
    """Judge INSTANCE of SERVICE by the evidence again."""
    return _take_back("pin", given, "it is not pinned")


@click.command()
@_act_options
@click.argument("status", required=False, type=click.Choice(_STATUSES, case_sensitive=False))
@for_option
@click.option("--remove", "is_removed", is_flag=True, help="Let it speak for itself again.")
def override(*, status: str | None, is_removed: bool, **given: Any) -> int:
    """Let INSTANCE of SERVICE have STATUS, whatever it says of itself."""
    if is_removed == (status is not None):
        raise click.UsageError("name either a STATUS or --remove")
    if not is_removed:
        _carry_out("override", given, status=status)
        return 0
    return _take_back("status", given, "no status is overridden")


@click.command()
@click.argument("act_id", metavar="ID")
@click.option("--actor", help="Who asks.  [default: you]")
@server_option
@token_option
@json_option
def undo(*, act_id: str, actor: str | None, server: str, token: str, as_json: bool) -> None:
    """Take the act ID back, and what it did with it; `acts` lists them."""
    _undo(act_id, {"actor": actor, "server": server, "token": token, "as_json": as_json})


COMMANDS: Final = (drop, drain, pin, unpin, override, undo)


def _carry_out(kind: str, given: dict[str, Any], **more: object) -> Act:
    """Ask for an act, and say what was done."""
    told = {
        "kind": kind,
        "service": given["service"],
        "instance_id": given["instance"],
        "actor": given["actor"] or getpass.getuser(),
        "reason": given["reason"],
        "for_s": given.get("for_s"),
        **more,
    }
    server, token = given["server"], given["token"]
    body = ask(server, f"{BASE}/acts", token=token, method="POST", told=told)
    act = msgspec.json.decode(body, type=Act)
    click.echo(body if given["as_json"] else _said(act))
    return act


def _said(act: Act) -> str:
    name = f"{act.service}/{act.instance_id}"
    if not act.is_in_force:
        return f"dropped {name}; it is back when it registers again"
    until = f"until {moment(act.end_ms)}" if act.end_ms else "until undone"
    return f"{drawing.act_words(act)} of {name} {until}; undo: breakwater registry undo {act.id}"


def _take_back(family: str, given: dict[str, Any], otherwise: str) -> int:
    """Undo the act of a family that is in force on an instance; 1 if there is none."""
    service, instance = given["service"], given["instance"]
    query = urlencode({"service": service})
    body = ask(given["server"], f"{BASE}/acts?{query}", token=given["token"])
    for act in msgspec.json.decode(body, type=ActList).acts:
        if act.instance_id == instance and act.family == family:
            _undo(act.id, given)
            return 0
    if family == "status" and _remove_classic(given):
        return 0
    click.echo(f"{service}/{instance}: {otherwise}", err=True)
    return 1


def _remove_classic(given: dict[str, Any]) -> bool:
    """Take back an override that was set by Eureka's own means; False if there is none."""
    service, instance = given["service"], given["instance"]
    server, token = given["server"], given["token"]
    body = ask(server, record_path(service, instance), token=token)
    if not msgspec.json.decode(body, type=InstanceRecord).override:
        return False
    path = f"/eureka/apps/{quote(service, safe='')}/{quote(instance, safe='')}/status?value=UP"
    ask(server, path, token=token, method="DELETE")
    click.echo(f"removed the override of {service}/{instance}")
    return True


def _undo(act_id: str, given: dict[str, Any]) -> None:
    query = urlencode({"actor": given["actor"] or getpass.getuser()})
    path = f"{BASE}/acts/{quote(act_id, safe='')}?{query}"
    body = ask(given["server"], path, token=given["token"], method="DELETE")
    if given["as_json"]:
        click.echo(body)
        return
    act = msgspec.json.decode(body, type=Act)
    click.echo(f"undone: {drawing.act_words(act)} of {act.service}/{act.instance_id}")


def _wait_for_quiet(act: Act, given: dict[str, Any], timeout_s: float) -> int:
    """Look at what callers report until none of them calls; 1 if they still do in the end."""
    clock, pause = SystemClock(), threading.Event()
    begun_s = clock.monotonic_s()
    path = record_path(act.service, act.instance_id)
    has_callers = False
    while True:
        try:
            body = ask(given["server"], path, token=given["token"])
        except RefusedError:
            click.echo(f"{act.service}/{act.instance_id} has left", err=True)
            return 0
        except NoAnswerError as error:
            click.echo(f"{error}; trying again", err=True)
        else:
            record = msgspec.json.decode(body, type=InstanceRecord)
            busy = [told for told in record.callers if _is_busy(told, record.at_ms)]
            has_callers = has_callers or bool(record.callers)
            waited_s = clock.monotonic_s() - begun_s
            if not busy and waited_s >= min(_SETTLE_S, timeout_s):
                why = "no caller calls it any more" if has_callers else "no caller reports on it"
                click.echo(f"{why}, {waited_s:.0f} s after", err=True)
                return 0
            if waited_s >= timeout_s:
                names = ", ".join(sorted({told.caller.service for told in busy}))
                click.echo(f"still called after {waited_s:.0f} s, by {names}", err=True)
                return 1
        if clock.monotonic_s() - begun_s >= timeout_s + _STALE_S:
            return 1
        pause.wait(_LOOK_S)


def _is_busy(told: CallerSaw, now_ms: int) -> bool:
    """Whether a caller still calls, as far as it told lately."""
    age_s = (now_ms - told.at_ms) / 1_000
    return told.saw.calls > 0 and age_s <= max(_STALE_S, 2 * told.window_s)
