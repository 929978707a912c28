"""Watching the guarded commands of a fleet: one cluster for each service that is looked at."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol

import anyio
import msgspec

from breakwater.guards.cluster import Cluster, Places
from breakwater.guards.errors import TooManyWatchersError, UnknownClusterError
from breakwater.guards.settings import GuardSettings
from breakwater.guards.view import GuardView, ServiceGuards, service_view
from breakwater.model import Clock, Instance, InstanceView

EVERYTHING: Final = "default"
"""The cluster of all services, as Turbine calls the one that is not named."""


class FindInstances(Protocol):
    """Who is there; the registry's `view`."""

    def __call__(self) -> InstanceView:
        """Every instance at this moment."""
        ...


class GuardWatchStats(msgspec.Struct, frozen=True, kw_only=True):
    """Clusters and streams that are read now, and watchers; streams not read for want of places."""

    clusters: int
    streams: int
    watchers: int
    refused_watchers: int
    refused_streams: int
    messages: int
    bad_events: int


class GuardWatch:
    """Reads streams only for those who watch or ask, and a while longer.

    Belongs to one event loop; `run` must be running for anything to be read.
    """

    def __init__(self, find: FindInstances, settings: GuardSettings, clock: Clock) -> None:
        self._find = find
        self._settings = settings
        self._clock = clock
        self._clusters: dict[str, Cluster] = {}
        self._places = Places(settings.max_streams)
        self._start: Callable[[Cluster], None] | None = None
        self._closed = anyio.Event()
        self._streams = self._refused = 0

    async def run(self) -> None:
        """Hold what reads, until cancelled."""
        from aiohttp import (  # noqa: PLC0415 - loading it takes a tenth of a second
            ClientSession,
            ClientTimeout,
            DummyCookieJar,
            TCPConnector,
        )

        settings = self._settings
        timeout = ClientTimeout(
            total=None, sock_connect=settings.connect_s, sock_read=settings.stale_s
        )
        connector = TCPConnector(limit=settings.max_streams, force_close=True)
        async with (
            ClientSession(
                timeout=timeout,
                connector=connector,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,  # a small answer must not become a large one
            ) as session,
            anyio.create_task_group() as group,
        ):

            def start(cluster: Cluster) -> None:
                group.start_soon(cluster.run, session, self._ended)

            self._start = start
            try:
                for cluster in self._clusters.values():  # asked for before this ran
                    start(cluster)
                await anyio.sleep_forever()
            finally:
                self._start = None

    def _ended(self, cluster: Cluster) -> None:
        if self._clusters.get(cluster.name) is cluster:
            del self._clusters[cluster.name]

    def events(self, name: str | None) -> AsyncGenerator[bytes, None]:
        """The aggregate of a service, or of all, as a stream without end.

        Raises UnknownClusterError, TooManyWatchersError; nothing is read before the first event
        is asked for.
        """
        wanted = self._known(name or EVERYTHING)
        if self._streams >= self._settings.max_watchers:
            self._refused += 1
            raise TooManyWatchersError(
                f"{self._streams} watch already, at most {self._settings.max_watchers} may; "
                "try again later"
            )
        return self._events(wanted)

    async def _events(self, name: str) -> AsyncGenerator[bytes, None]:
        self._streams += 1
        try:
            async with (
                self._watched(name) as cluster,
                aclosing(cluster.events(self._closed)) as events,
            ):
                async for event in events:
                    yield event
        finally:
            self._streams -= 1

    async def view(self, service: str | None = None) -> GuardView:
        """What the commands of one service do, or of all; waits a moment for the first news.

        Raises UnknownClusterError.
        """
        names = self._services() if service is None else [self._known(service)]
        found: dict[str, ServiceGuards] = {}

        async def look(name: str) -> None:
            async with self._watched(name) as cluster:
                await cluster.settled(self._settings.first_s)
                messages = await cluster.messages()
                found[name] = service_view(
                    name, messages, cluster.readings(), left_out=cluster.left_out
                )

        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(look, name)
        return GuardView(at_ms=self._clock.now_ms(), services=[found[name] for name in names])

    @asynccontextmanager
    async def _watched(self, name: str) -> AsyncIterator[Cluster]:
        cluster = self._clusters.get(name)
        if cluster is None:
            cluster = Cluster(
                name, lambda: self._instances(name), self._places, self._settings, self._clock
            )
            self._clusters[name] = cluster
            if self._start is not None:
                self._start(cluster)
        cluster.watchers += 1
        try:
            yield cluster
        finally:
            cluster.leave()

    def _instances(self, name: str) -> list[Instance]:
        return [
            one
            for one in self._find().instances
            if one.status == "UP" and name in {EVERYTHING, one.service.lower()}
        ]

    def _services(self) -> list[str]:
        return sorted({one.service.lower() for one in self._find().instances})

    def _known(self, name: str) -> str:
        wanted = name.lower()
        services = self._services()
        if wanted != EVERYTHING and wanted not in services:
            raise UnknownClusterError(name, services)
        return wanted

    def close(self) -> None:
        """End every stream, before the platform stops."""
        self._closed.set()

    def stats(self) -> GuardWatchStats:
        """What is read now, and for whom."""
        readings = [each for cluster in self._clusters.values() for each in cluster.readings()]
        return GuardWatchStats(
            clusters=len(self._clusters),
            streams=len(readings),
            watchers=sum(cluster.watchers for cluster in self._clusters.values()),
            refused_watchers=self._refused,
            refused_streams=self._places.refused,
            messages=sum(each.messages for each in readings),
            bad_events=sum(each.bad for each in readings),
        )
