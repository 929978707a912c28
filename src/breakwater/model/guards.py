"""The configuration of guarded commands as the platform hands it out and a service obeys it.

`guards` keeps settings, `sdk.guard` lays them over what the code says; neither sees the other, so
the wire form lives here.
"""

from typing import Literal

import msgspec

GuardValue = bool | int | float | str | dict[str, float] | None
"""What a key may be set to. None switches a part off (`breaker`), or takes a limit away
(`timeout_s`); a dictionary is for `bulkhead.partitions` and its like."""

GuardScope = Literal["default", "group", "command"]
"""What a setting is for: every command, those of one group, one; a later one wins."""


class GuardExpiry(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that ends by itself at `expires_ms`, whoever forgot it.

    name: of the group or command, empty for the scope `default`.
    """

    scope: GuardScope
    key: str
    expires_ms: int
    name: str = ""


class GuardConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All settings for one service at one revision, the answer of the long poll.

    A key names a field of `CommandConfig` by its path (`breaker.open_s`, `timeout_s`). Of settings
    for all services and those for this one the latter are given where both exist. expires: those
    that a service drops by itself, be the platform dead or alive.
    """

    revision: int
    default: dict[str, GuardValue] = {}
    groups: dict[str, dict[str, GuardValue]] = {}
    commands: dict[str, dict[str, GuardValue]] = {}
    expires: list[GuardExpiry] = []
