"""Live settings from the platform, by long poll; it may be dead, slow, or of another version."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

import msgspec

from breakwater.sdk.guard.events import Scope
from breakwater.sdk.guard.live.configuration import LiveConfig
from breakwater.sdk.guard.tuning.keys import flattened
from breakwater.sdk.guard.tuning.layers import Place
from breakwater.sdk.poll import LongPoll, PollStats
from breakwater.sdk.settings import Address, ServiceSettings


class _Expiry(msgspec.Struct, frozen=True):
    scope: Scope
    key: str
    expires_ms: int
    name: str = ""


class _Answer(msgspec.Struct, frozen=True):
    """`GuardConfig` with values left as they came, so that one bad value spoils no other."""

    revision: int
    default: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    commands: dict[str, dict[str, Any]] = {}
    expires: list[_Expiry] = []


class PlatformSettings:
    """Follows what the platform says of the commands of this process."""

    def __init__(
        self, live: LiveConfig, address: Address, settings: ServiceSettings, *, random: Random
    ) -> None:
        self._live = live
        path = f"/api/v1/guards/config?service={settings.service}&instance={settings.instance}"
        self._poll = LongPoll(address, path, self.accept, random=random)

    def start(self) -> None:
        """Start to follow."""
        self._poll.start()

    def stop(self) -> None:
        """Follow no more; what was said last stays in force."""
        self._poll.stop()

    def accept(self, body: bytes) -> int:
        """Take in one answer and return its revision; raises msgspec.DecodeError for nonsense."""
        answer = _ANSWER.decode(body)
        entries: dict[Place, object] = {}
        _enter(entries, "default", {"": answer.default})
        _enter(entries, "group", answer.groups)
        _enter(entries, "command", answer.commands)
        expires_ms = {Place(one.scope, one.name, one.key): one.expires_ms for one in answer.expires}
        self._live.put("platform", entries, expires_ms=expires_ms)
        return answer.revision

    def stats(self) -> PollStats:
        """How the poll fares."""
        return self._poll.stats()


def _enter(
    entries: dict[Place, object], scope: Scope, tables: Mapping[str, Mapping[str, Any]]
) -> None:
    for name, table in tables.items():
        entries.update({Place(scope, name, key): value for key, value in flattened(table)})


_ANSWER: Final = msgspec.json.Decoder(_Answer)
