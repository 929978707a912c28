"""All instances of one service, read and merged while somebody watches."""

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import msgspec

from breakwater.guards.merging import Aggregate, Key, Message, deletion, merged
from breakwater.guards.reading import InstanceReading, Reading
from breakwater.guards.settings import GuardSettings
from breakwater.model import Clock, Instance

if TYPE_CHECKING:
    import aiohttp
    from anyio.abc import TaskGroup

_LOOK_S: Final = 1.0
"""How often it is looked for instances that came or left."""
_KEPT_DELETIONS: Final = 2_000


class Tick(msgspec.Struct, frozen=True):
    """One tick of the aggregate: its number, the merged messages, and all of it as events."""

    number: int
    messages: list[Message]
    encoded: bytes


class Places:
    """How many streams may be read at once, over all clusters."""

    def __init__(self, most: int) -> None:
        self._free = most
        self.refused = 0

    def take(self) -> bool:
        """Whether there was one free; if so it is taken."""
        if self._free <= 0:
            self.refused += 1
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """One is free again."""
        self._free += 1


class Cluster:
    """Reads the streams of the instances that `find` names, and merges what they say.

    Belongs to one event loop. `run` until nobody watches and `linger_s` have passed.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], list[Instance]],
        places: Places,
        settings: GuardSettings,
        clock: Clock,
    ) -> None:
        self.name = name
        self._find = find
        self._places = places
        self._settings = settings
        self._clock = clock
        self._aggregate = Aggregate(settings.stale_s)
        self._readings: dict[str, tuple[Reading, anyio.CancelScope]] = {}
        self._left_out: list[str] = []
        self._gone: list[tuple[int, Key]] = []
        self._tick = Tick(-1, [], b"")
        self._lock = anyio.Lock()
        self._looked = anyio.Event()
        self.watchers = 0
        self._left_s = clock.monotonic_s()

    def leave(self) -> None:
        """One watcher less."""
        self.watchers -= 1
        self._left_s = self._clock.monotonic_s()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has watched for as long as it lingers."""
        since_s = self._clock.monotonic_s() - self._left_s
        return self.watchers == 0 and since_s >= self._settings.linger_s

    async def run(
        self, session: "aiohttp.ClientSession", ending: Callable[["Cluster"], None]
    ) -> None:
        """Read for as long as it is wanted; from `ending` on nobody may begin to watch."""
        try:
            async with anyio.create_task_group() as group:
                while not self.is_idle:
                    self._reconcile(group, session)
                    self._looked.set()
                    await anyio.sleep(_LOOK_S)
                ending(self)
                group.cancel_scope.cancel()
        finally:
            ending(self)
            for name in tuple(self._readings):
                self._forget(name)

    def _reconcile(self, group: "TaskGroup", session: "aiohttp.ClientSession") -> None:
        """Read whom the registry names, and nobody else."""
        wanted = {one.instance_id: one for one in self._find()}
        for name, (reading, scope) in tuple(self._readings.items()):
            if wanted.get(name) != reading.instance:
                scope.cancel()
                self._forget(name)
        self._left_out = []
        for name, instance in wanted.items():
            if name in self._readings:
                continue
            if self._places.take():
                self._read(name, instance, group, session)
            else:
                self._left_out.append(name)

    def _read(
        self,
        name: str,
        instance: Instance,
        group: "TaskGroup",
        session: "aiohttp.ClientSession",
    ) -> None:
        def take(message: object) -> bool:
            return self._aggregate.put(name, message, self._clock.monotonic_s())

        reading = Reading(instance, take, self._settings, self._clock)
        scope = anyio.CancelScope()
        self._readings[name] = (reading, scope)

        async def work() -> None:
            with scope:
                await reading.run(session)

        group.start_soon(work, name=f"guards {self.name} {name}")

    def _forget(self, name: str) -> None:
        del self._readings[name]
        self._aggregate.drop(name)
        self._places.give_back()

    async def settled(self, timeout_s: float) -> None:
        """Wait until each instance has said something, or failed to; at most `timeout_s`."""
        with anyio.move_on_after(timeout_s):
            await self._looked.wait()
            for reading, _ in tuple(self._readings.values()):
                await reading.settled.wait()

    async def messages(self) -> list[Message]:
        """The aggregate of this moment."""
        return (await self._present()).messages

    async def events(self, closed: anyio.Event) -> AsyncGenerator[bytes, None]:
        """What a watcher is sent, tick by tick; the encoding is shared by all of them."""
        seen = self._tick.number
        while not closed.is_set():
            tick = await self._present()
            deletions = [key for number, key in self._gone if seen < number <= tick.number]
            seen = tick.number
            gone = b"".join(_event(deletion(key)) for key in deletions)
            yield b"%b%b: ping\n" % (gone, tick.encoded)
            interval_s = self._settings.interval_s
            with anyio.move_on_after(interval_s - self._clock.monotonic_s() % interval_s):
                await closed.wait()

    async def _present(self) -> Tick:
        """The present tick, merged by whoever asks first, in a thread."""
        async with self._lock:
            number = int(self._clock.monotonic_s() / self._settings.interval_s)
            if self._tick.number != number:
                gone = self._aggregate.prune(self._clock.monotonic_s())
                self._gone = [*self._gone, *((number, key) for key in gone)][-_KEPT_DELETIONS:]
                snapshot = self._aggregate.snapshot()
                told = _meta(len(self._aggregate.instances()), self._clock.now_ms())
                self._tick = await anyio.to_thread.run_sync(_ticked, number, snapshot, told)
            return self._tick

    def by_instance(self, key: Key) -> dict[str, Message]:
        """What each instance said last of one command."""
        return self._aggregate.by_instance(key)

    def readings(self) -> list[InstanceReading]:
        """How the reading of each instance fares."""
        return [reading.status() for reading, _ in self._readings.values()]

    @property
    def left_out(self) -> list[str]:
        """Instances that are not read because too many are."""
        return list(self._left_out)


def _ticked(number: int, snapshot: list[list[Message]], told: Message) -> Tick:
    messages = merged(snapshot)
    encoded = b"".join(_event(message) for message in (*messages, told))
    return Tick(number, messages, encoded)


def _event(message: Message) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(message)


def _meta(hosts: int, now_ms: int) -> Message:
    """Turbine's own message, by which its readers know how many hosts are behind the numbers."""
    return {
        "reportingHostsLast10Seconds": hosts,
        "name": "meta",
        "type": "meta",
        "timestamp": now_ms,
    }
