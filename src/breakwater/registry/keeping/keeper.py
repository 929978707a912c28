"""Writing down who is registered, many registrations in one commit, and reading it again."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio
import msgspec
import structlog

from breakwater.model import BreakwaterError, Clock
from breakwater.registry.errors import UnknownInstanceError
from breakwater.registry.holding.endings import RETENTION_S, Ending
from breakwater.registry.holding.happenings import Deed, Happening, Origin
from breakwater.registry.holding.registry import Registry

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from breakwater.registry.keeping.tables import KeptEnding, KeptInstance
    from breakwater.storage import Schema

log = structlog.get_logger("breakwater.registry")

PATIENCE_S: Final = 2.0
"""How long an answer waits for the disk; classic clients give up after five seconds."""
RETRY_S: Final = 1.0
_ROWS_AT_ONCE: Final = 2_000

T = TypeVar("T")


class Disk(Protocol):
    """Where rows are kept; the platform's `ControlDatabase`."""

    def adopt(self, schema: "Schema") -> None:
        """Keep these tables too."""
        ...

    async def write(self, work: "Callable[[Connection], T]") -> T:
        """Do `work` in one transaction; on the disk when this returns."""
        ...

    async def read(self, work: "Callable[[Connection], T]") -> T:
        """Do `work`, which only reads."""
        ...


class KeeperStats(msgspec.Struct, frozen=True, kw_only=True):
    """What is on the disk and what is not yet.

    unwritten: instances whose present state is in memory only. not_durable: answers given without
    waiting any longer for the disk. recalled: instances read at the start.
    """

    is_durable: bool
    unwritten: int
    commits: int
    rows: int
    failures: int
    not_durable: int
    recalled: int
    damaged: int
    last_failure: str


class Keeper:
    """Listens to a registry and keeps its leases on a disk; `run` must be running.

    What is not written yet is a set of names, so at most one for each instance and end: the state
    of each is looked up when its turn comes, and the newest is what is written. `patience_s` is
    how long an answer waits for it.
    """

    def __init__(
        self, registry: Registry, disk: Disk, clock: Clock, *, patience_s: float = PATIENCE_S
    ) -> None:
        from breakwater.registry.keeping import (  # noqa: PLC0415 - needs SQLAlchemy, 0.1 s
            tables,
        )

        self._tables = tables
        self._registry = registry
        self._disk = disk
        self._clock = clock
        self._patience_s = patience_s
        self._unwritten: dict[tuple[str, str], None] = {}
        self._has_switched = False
        self._noted = self._written = 0
        self._turned = anyio.Event()
        self._wanted = anyio.Event()
        self._counts: Counter[str] = Counter()
        self._last_failure = ""
        disk.adopt(tables.SCHEMA)
        disk.adopt(tables.GROUP_SCHEMA)
        registry.listen(self._heard)
        registry.groups.listen(self._group_switched)

    @property
    def is_durable(self) -> bool:
        """Whether the disk took what it was given last."""
        return not self._last_failure

    async def settled(self) -> bool:
        """Wait until everything that has happened so far is on the disk; whether it is.

        False at once while the disk takes nothing, and when patience ends: what is asked of the
        registry is then answered all the same, and counted.
        """
        mark = self._noted
        with anyio.move_on_after(self._patience_s):
            while self._written < mark and not self._last_failure:
                await self._turned.wait()
        if self._written >= mark:
            return True
        self._counts["not_durable"] += 1
        return False

    async def recall(self) -> None:
        """Let the registry hold what was kept: with a full lease, and not heard of yet.

        A disk that cannot be read is noted and leaves the registry empty.
        """
        try:
            recalled = await self._disk.read(self._tables.recall)
        except (BreakwaterError, OSError) as error:
            self._fail(error)
            return
        self._counts["damaged"] += recalled.damaged
        self._registry.groups.recall(recalled.groups)
        for kept in recalled.instances:
            self._adopt(kept)
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        for ended in recalled.endings:
            ago_s = max(0, now_ms - ended.at_ms) / 1000
            self._registry.endings.add(
                Ending(
                    app=ended.app,
                    instance_id=ended.instance_id,
                    last_dirty_ms=ended.last_dirty_ms,
                    is_final=ended.is_final,
                    at_s=now_s - ago_s,
                    override=ended.override,
                    override_ms=ended.override_ms,
                )
            )

    def _adopt(self, kept: "KeptInstance") -> None:
        try:
            self._registry.adopt(
                kept.info,
                override_ms=kept.override_ms,
                origin=Origin.DISK,
                via=kept.via,
                is_recalled=True,
            )
        except BreakwaterError as error:  # the bounds were made narrower since
            self._counts["damaged"] += 1
            log.warning("registry.recall.refused", reason=str(error))
        else:
            self._counts["recalled"] += 1

    async def run(self) -> None:
        """Write what has happened, until cancelled; after a failure again and again."""
        while True:
            while not self._has_work():
                self._wanted = anyio.Event()
                await self._wanted.wait()
            if not await self.write():
                await anyio.sleep(RETRY_S)

    async def write_all(self) -> None:
        """Write all that is not written yet, or as much as the disk takes."""
        while self._has_work() and await self.write():
            pass

    def _has_work(self) -> bool:
        return bool(self._unwritten) or self._has_switched

    async def write(self) -> bool:
        """Write some of what is not written yet in one commit; whether the disk took it."""
        keys = list(self._unwritten)[:_ROWS_AT_ONCE]
        upto = self._noted if len(keys) == len(self._unwritten) else self._written
        for key in keys:
            del self._unwritten[key]
        instances, endings = self._present(keys)
        has_switched, self._has_switched = self._has_switched, False
        groups = self._registry.groups.since() if has_switched else None
        forget_before_ms = self._clock.now_ms() - int(RETENTION_S * 1000)
        try:
            await self._disk.write(
                partial(
                    self._tables.store,
                    instances=instances,
                    endings=endings,
                    forget_before_ms=forget_before_ms,
                    groups=groups,
                )
            )
        except BaseException as error:
            self._unwritten |= dict.fromkeys(keys)
            self._has_switched = self._has_switched or has_switched
            if not isinstance(error, BreakwaterError):
                raise
            self._fail(error)
            self._turn()
            return False
        self._counts["commits"] += 1
        self._counts["rows"] += len(keys)
        if self._last_failure:
            log.info("registry.disk.recovered", unwritten=len(self._unwritten))
        self._last_failure = ""
        self._written = max(self._written, upto)
        self._turn()
        return True

    def _present(
        self, keys: list[tuple[str, str]]
    ) -> "tuple[list[KeptInstance], list[KeptEnding]]":
        """The present state of `keys`, as rows; whoever is gone unremembered is just cleared."""
        instances, endings = [], []
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        for app, instance_id in keys:
            try:
                lease = self._registry.lease(app, instance_id)
            except UnknownInstanceError:
                ending = self._registry.endings.of(app, instance_id)
                ago_s = now_s - ending.at_s if ending is not None else RETENTION_S + 1
                endings.append(
                    self._tables.KeptEnding(
                        app=app,
                        instance_id=instance_id,
                        last_dirty_ms=ending.last_dirty_ms if ending is not None else 0,
                        is_final=ending is not None and ending.is_final,
                        at_ms=now_ms - int(ago_s * 1000),
                        override=ending.override if ending is not None else None,
                        override_ms=ending.override_ms if ending is not None else 0,
                    )
                )
            else:
                instances.append(
                    self._tables.KeptInstance(
                        info=lease.info, via=lease.via, override_ms=lease.override_ms
                    )
                )
        return instances, endings

    def _heard(self, happening: Happening) -> None:
        if happening.deed is Deed.RENEWED or happening.origin is Origin.DISK:
            return
        self._noted += 1
        self._unwritten[happening.info.app, happening.info.instance_id] = None
        self._wanted.set()

    def _group_switched(self) -> None:
        self._noted += 1
        self._has_switched = True
        self._wanted.set()

    def _fail(self, error: Exception) -> None:
        self._counts["failures"] += 1
        if not self._last_failure:
            log.warning("registry.disk.failed", reason=str(error))
        self._last_failure = str(error)

    def _turn(self) -> None:
        self._turned.set()
        self._turned = anyio.Event()

    def stats(self) -> KeeperStats:
        """Numbers for the platform's own metrics."""
        counts = self._counts
        return KeeperStats(
            is_durable=self.is_durable,
            unwritten=len(self._unwritten),
            commits=counts["commits"],
            rows=counts["rows"],
            failures=counts["failures"],
            not_durable=counts["not_durable"],
            recalled=counts["recalled"],
            damaged=counts["damaged"],
            last_failure=self._last_failure,
        )
