"""One setting an operator gave: for whom, which key, what value, by whom and until when."""

from typing import Final

import msgspec

from breakwater.guards.errors import InvalidSettingError
from breakwater.model import GuardScope, GuardValue

Place = tuple[str, GuardScope, str, str]
"""Service (empty for all), scope, name of group or command (empty for none), key."""

MAX_CHARS: Final = 200
_MAX_REASON_CHARS: Final = 1_000


class GuardSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting in force; service is empty for all services, expires_ms None for no end."""

    service: str
    scope: GuardScope
    name: str
    key: str
    value: GuardValue
    actor: str
    reason: str
    set_ms: int
    expires_ms: int | None = None


class SettingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for; a `value` of null switches a part off or takes a limit away.

    To set something a value has to be given: a forgotten one must not take a limit away.
    service: empty for all. name: of the group or the command, for these scopes. duration_s: after
    which it ends by itself.
    """

    key: str
    value: GuardValue | msgspec.UnsetType = msgspec.UNSET
    service: str = ""
    scope: GuardScope = "default"
    name: str = ""
    actor: str = "unknown"
    reason: str = ""
    duration_s: float | None = None


def place_of(wanted: SettingRequest) -> Place:
    """Where a setting belongs; raises InvalidSettingError for names that cannot be."""
    if wanted.scope == "default" and wanted.name:
        raise InvalidSettingError(
            f"scope 'default' is for every command, but the name '{wanted.name[:40]}' is given; "
            "allowed: scope 'group' or 'command' with a name"
        )
    if wanted.scope != "default" and not wanted.name:
        raise InvalidSettingError(f"scope '{wanted.scope}' needs the name of the {wanted.scope}")
    for what in ("service", "name", "key", "actor"):
        text = getattr(wanted, what)
        if len(text) > MAX_CHARS or not text.isprintable():
            raise InvalidSettingError(f"{what} must be at most {MAX_CHARS} printable characters")
    if not wanted.actor.strip():
        raise InvalidSettingError("actor must say who asks")
    if len(wanted.reason) > _MAX_REASON_CHARS:
        raise InvalidSettingError(f"reason must be at most {_MAX_REASON_CHARS} characters")
    return (wanted.service, wanted.scope, wanted.name, wanted.key)


def said(place: Place) -> str:
    """A place in words, as `breaker.open_s of command Account in gateway`."""
    service, scope, name, key = place
    whose = "every command" if scope == "default" else f"{scope} {name}"
    return f"{key} of {whose} in {service or 'all services'}"
