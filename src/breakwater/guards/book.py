"""The settings operators gave to guarded commands: kept on disk, handed out to services."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import anyio
import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
)

from breakwater.guards.errors import (
    InvalidSettingError,
    TooManySettingsError,
    TooManyWatchersError,
    UnknownSettingError,
)
from breakwater.guards.setting import GuardSetting, Place, SettingRequest, place_of, said
from breakwater.guards.settings import GuardSettings
from breakwater.guards.validity import checked
from breakwater.model import (
    Change,
    ChangeKind,
    Clock,
    GuardConfig,
    GuardExpiry,
    GuardValue,
)
from breakwater.storage import ControlDatabase, Schema

EVERY_SERVICE: Final = "*"
_SOURCE: Final = "guards"
_EXPIRE_S: Final = 1.0

_TABLES = MetaData()
_SETTINGS = Table(
    "guard_settings",
    _TABLES,
    Column("id", Integer, primary_key=True),
    Column("service", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("name", String, nullable=False),
    Column("key", String, nullable=False),
    Column("value", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    sqlite_autoincrement=True,
)
_SCHEMA: Final = Schema(room="guards", version=1, tables=_TABLES)


class SettingJournal(Protocol):
    """Where changes of settings are written down, in the database that keeps the settings."""

    async def record(self, change: Change, *, also: Callable[[Connection], object]) -> Change:
        """Store the change and do `also`, in one transaction; raise when that is not certain."""
        ...


class BookStats(msgspec.Struct, frozen=True, kw_only=True):
    """Settings kept, callers that wait, and what was done since the start."""

    settings: int
    waiters: int
    set: int
    unset: int
    expired: int
    refused: int
    unrecorded: int


class SettingBook:
    """What `put` returned is on the disk and in the journal, and every service is told of it.

    A setting and its entry in the journal are one transaction, whatever is between them: neither
    is ever there without the other.

    Belongs to one event loop. Revisions only grow, across restarts too, because they start from
    the wall clock.
    """

    def __init__(
        self,
        database: ControlDatabase,
        journal: SettingJournal,
        clock: Clock,
        settings: GuardSettings,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._kept: dict[Place, GuardSetting] | None = None
        self._writing = anyio.Lock()
        self._latest = self._first = clock.now_ms()
        self._revisions: dict[str, int] = {}
        self._changed = anyio.Event()
        self._is_closed = False
        self._waiters = 0
        self._counts: Counter[str] = Counter()
        database.adopt(_SCHEMA)

    async def put(self, wanted: SettingRequest) -> GuardSetting:
        """Let a setting be in force, in place of what was set there.

        Raises InvalidSettingError, TooManySettingsError, and what journal and storage raise; then
        nothing was changed.
        """
        try:
            place = place_of(wanted)
            if wanted.value is msgspec.UNSET:
                raise InvalidSettingError(  # noqa: TRY301 - counted as any other
                    "value is missing; null takes a limit away or switches a part off"
                )
            value = checked(wanted.key, wanted.value)
            setting = self._made(place, wanted, value)
        except InvalidSettingError:
            self._counts["refused"] += 1
            raise
        async with self._writing:
            kept = await self._loaded()
            if place not in kept and len(kept) >= self._settings.max_settings:
                self._counts["refused"] += 1
                raise TooManySettingsError(
                    f"{len(kept)} settings are kept, at most {self._settings.max_settings} may "
                    "be; take some back"
                )
            before = kept.get(place)
            await self._record(setting, "set", before, lambda held: _store(held, setting))
            kept[place] = setting
            self._counts["set"] += 1
            self._bump(setting.service)
        return setting

    async def drop(self, wanted: SettingRequest) -> GuardSetting:
        """Take a setting back; what is beneath it is in force again.

        Raises InvalidSettingError, UnknownSettingError, and what journal and storage raise.
        """
        place = place_of(wanted)
        async with self._writing:
            kept = await self._loaded()
            held = kept.get(place)
            if held is None:
                there = [said(each) for each in kept if each[0] == place[0]][:20]
                raise UnknownSettingError(said(place), there)
            taken = msgspec.structs.replace(held, actor=wanted.actor, reason=wanted.reason)
            await self._record(taken, "unset", held, lambda held: _erase(held, place))
            del kept[place]
            self._counts["unset"] += 1
            self._bump(held.service)
        return held

    def _made(self, place: Place, wanted: SettingRequest, value: GuardValue) -> GuardSetting:
        now_ms = self._clock.now_ms()
        expires_ms = None
        if wanted.duration_s is not None:
            if not 1.0 <= wanted.duration_s <= 31_536_000.0:
                raise InvalidSettingError(
                    f"duration_s is {wanted.duration_s:g}, must be from 1 to 31536000 (a year)"
                )
            expires_ms = now_ms + int(wanted.duration_s * 1000)
        service, scope, name, key = place
        return GuardSetting(
            service=service,
            scope=scope,
            name=name,
            key=key,
            value=value,
            actor=wanted.actor,
            reason=wanted.reason,
            set_ms=now_ms,
            expires_ms=expires_ms,
        )

    async def all(self, service: str | None = None) -> list[GuardSetting]:
        """Every setting in force, or those that concern one service, in a fixed order."""
        kept = await self._loaded()
        now_ms = self._clock.now_ms()
        return [
            kept[place]
            for place in sorted(kept)
            if (service is None or place[0] in {"", service}) and _holds(kept[place], now_ms)
        ]

    async def config_for(self, service: str) -> GuardConfig:
        """What one service goes by; its own settings stand above those for all services."""
        found = await self.all(service)
        layers: dict[str, Any] = {"default": {}, "group": {}, "command": {}}
        ends: dict[tuple[str, str, str], int | None] = {}
        for setting in sorted(found, key=_is_own):
            layer = layers[setting.scope]
            if setting.scope != "default":
                layer = layer.setdefault(setting.name, {})
            layer[setting.key] = setting.value
            ends[setting.scope, setting.name, setting.key] = setting.expires_ms
        return GuardConfig(
            revision=self._revision(service),
            default=layers["default"],
            groups=layers["group"],
            commands=layers["command"],
            expires=[
                GuardExpiry(scope=scope, name=name, key=key, expires_ms=expires_ms)  # type: ignore[arg-type] # it is one of the three
                for (scope, name, key), expires_ms in ends.items()
                if expires_ms is not None
            ],
        )

    async def wait_config(self, service: str, revision: int | None, wait_s: float) -> GuardConfig:
        """The settings of a service as soon as their revision is not `revision`.

        At the latest after `wait_s`. Raises TooManyWatchersError when no further caller may wait.
        """
        if self._waiters >= self._settings.max_waiters:
            raise TooManyWatchersError(
                f"{self._waiters} long polls for settings are open, at most "
                f"{self._settings.max_waiters} may be; ask again later"
            )
        self._waiters += 1
        try:
            with anyio.move_on_after(min(max(wait_s, 0.0), self._settings.max_wait_s)):
                while revision == self._revision(service) and not self._is_closed:
                    await self._changed.wait()
        finally:
            self._waiters -= 1
        return await self.config_for(service)

    async def run(self) -> None:
        """End what has an end, until cancelled."""
        while True:
            await self.expire()
            await anyio.sleep(_EXPIRE_S)

    async def expire(self) -> list[GuardSetting]:
        """Forget settings whose time is over, and write that down."""
        async with self._writing:
            kept = await self._loaded()
            now_ms = self._clock.now_ms()
            over = [place for place, setting in kept.items() if not _holds(setting, now_ms)]
            if not over:
                return []
            ended = []
            for place in over:
                setting = kept[place]
                await self._record(setting, "expired", setting, partial(_erase, place=place))
                del kept[place]
                ended.append(setting)
                self._counts["expired"] += 1
                self._bump(setting.service)
        return ended

    def close(self) -> None:
        """Answer everybody who waits, so that the platform can stop."""
        self._is_closed = True
        self._wake()

    async def _loaded(self) -> dict[Place, GuardSetting]:
        if self._kept is None:
            rows = await self._database.read(_load)
            if self._kept is None:  # nobody was quicker
                self._kept = {_place(setting): setting for setting in rows}
        return self._kept

    async def _record(
        self,
        setting: GuardSetting,
        act: str,
        before: GuardSetting | None,
        also: Callable[[Connection], object],
    ) -> None:
        """Do it, and write down that it was done."""
        encode = msgspec.json.encode
        detail = {
            "act": act,
            "scope": setting.scope,
            "name": setting.name,
            "key": setting.key,
            "value": encode(setting.value).decode() if act == "set" else "",
            "before": "" if before is None else encode(before.value).decode(),
            "reason": setting.reason,
            "expires_ms": str(setting.expires_ms or ""),
        }
        change = Change(
            kind=ChangeKind.CONFIG,
            target=setting.service or EVERY_SERVICE,
            start_ms=self._clock.now_ms(),
            actor="platform" if act == "expired" else setting.actor,
            source=_SOURCE,
            detail={key: value for key, value in detail.items() if value},
        )
        try:
            await self._journal.record(change, also=also)
        except Exception:
            self._counts["unrecorded"] += 1
            raise

    def _revision(self, service: str) -> int:
        every = self._revisions.get("", self._first)
        return max(every, self._revisions.get(service, self._first))

    def _bump(self, service: str) -> None:
        self._latest = max(self._latest + 1, self._clock.now_ms())
        self._revisions[service] = self._latest
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def stats(self) -> BookStats:
        """What is kept, and what was done."""
        counts = self._counts
        return BookStats(
            settings=len(self._kept or ()),
            waiters=self._waiters,
            set=counts["set"],
            unset=counts["unset"],
            expired=counts["expired"],
            refused=counts["refused"],
            unrecorded=counts["unrecorded"],
        )


def _holds(setting: GuardSetting, now_ms: int) -> bool:
    return setting.expires_ms is None or setting.expires_ms > now_ms


def _is_own(setting: GuardSetting) -> bool:
    return bool(setting.service)


def _place(setting: GuardSetting) -> Place:
    return (setting.service, setting.scope, setting.name, setting.key)


def _matches(place: Place) -> list[Any]:
    columns = _SETTINGS.c
    service, scope, name, key = place
    return [
        columns.service == service,
        columns.scope == scope,
        columns.name == name,
        columns.key == key,
    ]


def _store(connection: Connection, setting: GuardSetting) -> None:
    _erase(connection, _place(setting))
    values = msgspec.structs.asdict(setting)
    values["value"] = msgspec.json.encode(setting.value).decode()
    connection.execute(insert(_SETTINGS).values(**values))


def _erase(connection: Connection, place: Place) -> None:
    connection.execute(delete(_SETTINGS).where(*_matches(place)))


def _load(connection: Connection) -> list[GuardSetting]:
    rows = connection.execute(select(_SETTINGS).order_by(_SETTINGS.c.id))
    return [
        GuardSetting(
            service=row.service,
            scope=row.scope,
            name=row.name,
            key=row.key,
            value=msgspec.json.decode(row.value, type=GuardValue),
            actor=row.actor,
            reason=row.reason,
            set_ms=row.set_ms,
            expires_ms=row.expires_ms,
        )
        for row in rows
    ]
