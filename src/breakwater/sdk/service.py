"""The front door: one `Service` per process, about five lines in a user's program."""

import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import msgspec

from breakwater.model import Clock, Instance, SystemClock
from breakwater.sdk.agent import Agent, AgentStats
from breakwater.sdk.calls import CallRecorder, CallStats, ServerStats
from breakwater.sdk.client import ClientStats
from breakwater.sdk.discovery import (
    BalancerConfig,
    DiscoveryMeters,
    LeaseStats,
    ReporterStats,
    ResolverStats,
    ViewStats,
    fixed_instance,
)
from breakwater.sdk.drain import DrainStats
from breakwater.sdk.endpoints import Endpoints
from breakwater.sdk.errors import SettingsError
from breakwater.sdk.faults import FaultStats, RuleBook
from breakwater.sdk.guard import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    CommandConfig,
    Guards,
    RetryConfig,
)
from breakwater.sdk.lines import LineSender
from breakwater.sdk.membership import Membership
from breakwater.sdk.meters import Counter, Distribution, Gauge, MaxGauge, Meters, MeterStats, Timer
from breakwater.sdk.process import ProcessGauges
from breakwater.sdk.runtime import Runtime
from breakwater.sdk.settings import ServiceSettings, common_tags, resolve_settings
from breakwater.sdk.upkeep import LiveStats, Upkeep

if TYPE_CHECKING:
    from random import Random

    from breakwater.sdk.aiohttp import Client, Sessions
    from breakwater.sdk.asgi import Middleware
    from breakwater.sdk.guard import Command, CommandStats, Fallback
    from breakwater.sdk.guard.config import SheddingConfig
    from breakwater.sdk.streams import Streams

FIRST_ANSWER_S: Final = 1.0
"""How long a start waits for the registry's first answer; a dead platform is noticed sooner."""


class Served(Protocol):
    """A server of this process, whatever its protocol."""

    def stats(self) -> ServerStats:
        """Counts since start."""
        ...


class ServiceStats(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of the SDK in this process at one moment."""

    service: str
    instance: str
    is_started: bool
    meters: MeterStats
    agent: AgentStats
    served: CallStats
    called: CallStats
    lease: LeaseStats | None
    view: ViewStats
    resolver: ResolverStats
    reports: ReporterStats
    drain: DrainStats
    faults: FaultStats
    servers: list[ServerStats]
    clients: list[ClientStats]
    commands: "list[CommandStats]"
    live: LiveStats


class Service:
    """This process as a member of the fleet: its lease, meters, guarded calls and server side.

    Every argument but the name may be left out; it is then taken from the environment
    (`BREAKWATER_INSTANCE`, `_ZONE`, `_HOST`, `_PORT`, `_URL`, `_TOKEN`, `_METRICS`,
    `_GUARDS_FILE`, `_REGISTRY`, `_VIEW_FILE`, `_DRAIN_S`), else from a default. url: the
    platform, `http://host:port`; token: for a platform that asks for one, of role operator;
    metrics: where meter lines go, `udp://host:port`. url and metrics may be `none`. guards_file:
    settings of commands, see docs/how-to/configure-guards.md. registry: one or more registries,
    with commas between, where the platform is not to be asked for instances. view_file: keeps who
    is where for the next start. drain_s: how long the leaving may take. balancing: how instances
    are chosen, see docs/how-to/balance-calls.md. Raises SettingsError for values that cannot be
    used; after that, whatever state the platform is in, nothing here fails or slows the service.

    Start it with `async with service`, with `with service`, by `start` and `stop`, or leave that
    to the ASGI lifespan of `asgi(app)`. Meters, context, commands and discovery need no event loop.
    """

    def __init__(  # noqa: PLR0913 - one parameter per setting, all but the name by name
        self,
        name: str | None = None,
        *,
        instance: str | None = None,
        zone: str | None = None,
        host: str | None = None,
        port: int | None = None,
        url: str | None = None,
        token: str | None = None,
        metrics: str | None = None,
        guards_file: str | None = None,
        registry: str | None = None,
        view_file: str | None = None,
        drain_s: float | None = None,
        balancing: BalancerConfig | None = None,
        clock: Clock | None = None,
        random: "Random | None" = None,
    ) -> None:
        given = {
            "instance": instance, "zone": zone, "host": host, "port": port,
            "url": url, "token": token, "metrics": metrics, "guards_file": guards_file,
            "registry": registry, "view_file": view_file, "drain_s": drain_s,
        }  # fmt: skip
        self.settings: ServiceSettings = resolve_settings(name, given)
        self._clock = clock or SystemClock()
        if random is None:
            from random import Random  # noqa: PLC0415 - off the path of an import

            random = Random()  # noqa: S311 - jitter and turns, no secrets
        self._random = random
        self._sender = LineSender(self.settings.metrics)
        self._meters = Meters(self._sender, common_tags(self.settings), self._clock)
        self._runtime = self._wire(balancing)
        self.balancer = self._runtime.resolver
        self._picks = DiscoveryMeters(self._runtime.resolver, self._meters)
        self._gauges = ProcessGauges(self._meters, self._clock)
        self._agent = Agent(
            [(0.0, self._sender.flush), (1.0, self._report)],
            self._clock,
            self._gauges.thread_was_late,
        )
        self._lock = threading.Lock()
        self._is_started = False
        self._sessions: Sessions | None = None
        self._clients: list[Client] = []
        self._servers: list[Served] = []
        self.guards = self._runtime.guards
        self._upkeep = Upkeep(
            self.guards, self.settings, meters=self._meters, random=self._random, environ=os.environ
        )
        self._streams: Streams | None = None
        self._reported: dict[tuple[str, ...], int] = {}

    @property
    def runtime(self) -> Runtime:
        """The parts that adapters of client and server libraries share."""
        return self._runtime

    @classmethod
    def from_env(cls) -> "Service":
        """The service that `BREAKWATER_SERVICE` and its fellow variables describe."""
        return cls()

    def _wire(self, balancing: BalancerConfig | None) -> Runtime:
        settings, clock, random = self.settings, self._clock, self._random
        faults = RuleBook(settings.platform, settings, clock=clock, random=random)
        guards = Guards(clock=clock, random=random, faults=faults)
        self._membership = Membership(
            settings, guards, clock=clock, random=random, balancing=balancing
        )
        return Runtime(
            settings=settings,
            clock=clock,
            random=random,
            served=CallRecorder(self._meters, settings.service, side="server"),
            called=CallRecorder(self._meters, settings.service, side="client"),
            endpoints=Endpoints(),
            resolver=self._membership.resolver,
            drain=self._membership.drain,
            faults=faults,
            guards=guards,
        )

    def start(self) -> None:
        """Start the background threads and take the lease; waits for the registry at most 1 s.

        A second call does nothing. A service without a port takes no lease.
        """
        self._start(once_listening=False)

    def _start(self, *, once_listening: bool) -> None:
        with self._lock:
            if self._is_started:
                return
            self._is_started = True
        if self._streams is not None:
            self._streams.reopen()
        self._sender.open()
        self._agent.start()
        self._runtime.faults.start()
        self._upkeep.start()
        self._membership.start(once_listening=once_listening)
        self._membership.wait_first(FIRST_ANSWER_S)

    def drain(self, limit_s: float | None = None) -> DrainStats:
        """Leave in peace: out of the registry, serve until callers know, then refuse and finish.

        limit_s: how long all of that may take, by default what the settings say (5 s). Blocks, so
        an event loop calls it in a thread. What was wrapped by `asgi` and is run by uvicorn does
        this by itself on SIGTERM; elsewhere call it before the server stops to listen.
        """
        return self._membership.leave_in_peace(limit_s)

    def stop(self) -> None:
        """Cancel the lease, end the threads, send the last meter lines; some seconds at most."""
        with self._lock:
            if not self._is_started:
                return
            self._is_started = False
        if self._streams is not None:
            self._streams.close()
        self._membership.stop()
        self._runtime.faults.stop()
        self._upkeep.stop()
        self._agent.stop()
        self._report()
        self._sender.close()

    def __enter__(self) -> Self:
        """`start`."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """`stop`."""
        self.stop()

    async def __aenter__(self) -> Self:
        """`start`, and measure how late this event loop wakes up."""
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        await asyncio.to_thread(self.start)
        self._gauges.watch_loop(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """`stop`, and close the connections of the clients."""
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        self._gauges.forget_loop()
        try:
            if self._sessions is not None:
                await self._sessions.close()
        finally:
            await asyncio.to_thread(self.stop)

    def asgi(
        self,
        app: "Callable[..., Awaitable[None]]",
        *,
        endpoint: Callable[[Any], str] | None = None,
        max_concurrent: int | None = None,
        shedding: "SheddingConfig | None" = None,
        streams: bool = False,
    ) -> "Middleware":
        """Wrap an ASGI application: call records, context, deadlines, inbound faults.

        endpoint: gives the endpoint's name from the ASGI scope; it must be of few values.
        max_concurrent: requests under way beyond which new ones get 503, the less important ones
        somewhat earlier. shedding: the same in full: fixed or adaptive limit, queue, classes of
        criticality; give one of the two. streams: answer `/hystrix.stream` and its like, too, and
        tell the registry so. The service is started and stopped by the server's lifespan events.
        Raises SettingsError.
        """
        from breakwater.sdk.asgi import Middleware  # noqa: PLC0415 - imports asyncio
        from breakwater.sdk.guard.config import SheddingConfig  # noqa: PLC0415 - with it

        if max_concurrent is not None:
            if shedding is not None:
                raise SettingsError("give asgi either max_concurrent or shedding, not both")
            shedding = SheddingConfig(limit=max_concurrent, queue=0)
        made = Middleware(
            app,
            self._runtime,
            endpoint=endpoint,
            shedding=shedding,
            started=self._started_by_lifespan,
            stopping=self._stopped_by_lifespan,
            streams=self.streams if streams else None,
        )
        if streams:
            self._membership.tell("hystrix.stream", "/hystrix.stream")
        self._servers.append(made)
        return made

    def watch(self, server: Served) -> None:
        """Report on a server made by an adapter, as on those of `asgi`."""
        self._servers.append(server)

    async def _started_by_lifespan(self) -> None:
        """Take the lease once the server listens; from then on drain before SIGTERM ends it."""
        import asyncio  # noqa: PLC0415 - as in __aenter__

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._start, once_listening=True)
        self._membership.drain_on_sigterm(loop.call_soon_threadsafe)
        self._gauges.watch_loop(loop)

    async def _stopped_by_lifespan(self) -> None:
        self._membership.forget_sigterm()
        await self.__aexit__(None, None, None)

    def client(  # noqa: PLR0913 - one parameter per part of a client, by name
        self,
        name: str,
        *,
        timeout_s: float = 1.0,
        retries: int = 0,
        max_concurrent: int = 100,
        breaker: BreakerConfig | None = BreakerConfig(),  # noqa: B008 - a frozen record
        fallback: "Fallback | None" = None,
        instances: Sequence[Instance | str] | None = None,
        balancing: BalancerConfig | None = None,
        config: CommandConfig | None = None,
    ) -> "Client":
        """A guarded aiohttp client for the service `name`; make one and keep it.

        timeout_s: limit of one attempt. retries: further attempts of GET on another instance after
        a connection error. max_concurrent: calls under way beyond which new ones are refused.
        fallback: given the error, gives the answer instead. instances: a fixed list (instances or
        `http://host:port`) instead of what the registry says. balancing: how one of them is chosen,
        by whatever client of this process calls `name`, instead of the service's own. config: all
        of its guard, instead of the four parameters after `name`; retries, hedges and kept answers
        are for GET, HEAD and OPTIONS only, and retries after a connection error only.
        """
        from breakwater.sdk.aiohttp import Client, Sessions  # noqa: PLC0415 - imports aiohttp
        from breakwater.sdk.outbound import guard_of  # noqa: PLC0415 - with it
        from breakwater.sdk.outcomes import is_connection_error  # noqa: PLC0415 - as above

        if not timeout_s > 0 or retries < 0:
            raise SettingsError(
                f"client {name}: timeout_s {timeout_s} must be above 0, "
                f"retries {retries} at least 0"
            )
        if instances is not None:
            self._runtime.resolver.pin(name, [fixed_instance(name, one) for one in instances])
        if balancing is not None:
            self._runtime.resolver.configure(name, balancing)
        if self._sessions is None:
            self._sessions = Sessions()
        retry = None
        if retries:  # all that is under way at an instance may fail at once, when it dies
            budget = BudgetConfig(tokens=max(10.0, max_concurrent))
            retry = RetryConfig(max_attempts=1 + retries, initial_s=0.0, budget=budget)
        config = config or CommandConfig(
            timeout_s=timeout_s,
            breaker=breaker,
            bulkhead=BulkheadConfig(max_concurrent=max_concurrent),
            retry=retry,
        )
        command = guard_of(
            self.guards,
            name,
            config,
            group="http",
            retry_on=is_connection_error,
            idempotent=True,  # said of each call anew: those that are not are never repeated
        )
        made = Client(name, self._runtime, self._sessions, command=command, fallback=fallback)
        self._clients.append(made)
        return made

    def command(
        self,
        name: str,
        config: CommandConfig | None = None,
        *,
        timeout_s: float | None = None,
        max_concurrent: int | None = None,
        breaker: BreakerConfig | None = BreakerConfig(),  # noqa: B008 - a frozen record
        fallback: "Fallback | Sequence[Fallback] | None" = None,
        ignore: tuple[type[Exception], ...] = (),
        records_calls: bool = True,
        **given: Any,
    ) -> "Command":
        """A guard for any function, sync or async; use as a decorator, or `call` / `call_sync`.

        config: all of its configuration, instead of the three parameters after it. given: other
        arguments of `Command`. With `dependency` its attempts are recorded as calls to that, so
        that diagnosis sees it; records_calls False leaves that to you. A command of the same name
        is replaced in `guards`.
        """
        if config is None:
            limit = None
            if max_concurrent is not None:
                limit = BulkheadConfig(max_concurrent=max_concurrent)
            config = CommandConfig(timeout_s=timeout_s, breaker=breaker, bulkhead=limit)
        command = self.guards.command(
            name, config, replace=True, fallback=fallback, ignore=ignore, **given
        )
        if records_calls and given.get("dependency"):
            self._upkeep.record_calls(command)
        return command

    @property
    def streams(self) -> "Streams":
        """What dashboards watch; to be mounted by `asgi(..., streams=True)` or by yourself."""
        if self._streams is None:
            from breakwater.sdk.streams import Streams  # noqa: PLC0415 - only where asked for

            self._streams = Streams(self.guards)
        return self._streams

    def instances(self, service: str) -> list[Instance]:
        """Where `service` is up, as last heard from the registry; the own zone first."""
        return self._runtime.resolver.instances(service)

    def counter(self, name: str, /, **tags: str) -> Counter:
        """A counter with these tags."""
        return self._meters.counter(name, tags)

    def gauge(self, name: str, /, **tags: str) -> Gauge:
        """A gauge with these tags; lasts 15 minutes after its last value."""
        return self._meters.gauge(name, tags)

    def max_gauge(self, name: str, /, **tags: str) -> MaxGauge:
        """A gauge that keeps the highest value of a step."""
        return self._meters.max_gauge(name, tags)

    def timer(self, name: str, /, **tags: str) -> Timer:
        """A timer: count, total, squares, maximum."""
        return self._meters.timer(name, tags)

    def percentile_timer(self, name: str, /, **tags: str) -> Timer:
        """A timer with percentiles; up to 300 series for each combination of tags."""
        return self._meters.timer(name, tags, percentiles=True)

    def distribution(self, name: str, /, **tags: str) -> Distribution:
        """A distribution summary: count, total, squares, maximum."""
        return self._meters.distribution(name, tags)

    def percentile_distribution(self, name: str, /, **tags: str) -> Distribution:
        """A distribution summary with percentiles."""
        return self._meters.distribution(name, tags, percentiles=True)

    def _report(self) -> None:
        """The chore of each second: gauges, peaks, guard counts, and rules that are over."""
        self._gauges.report()
        self._runtime.served.report()
        self._runtime.called.report()
        self._picks.report(self._clock.monotonic_s())
        self._runtime.faults.drop_expired()
        self._upkeep.report()
        self._count("sdk.lines.dropped", {}, self._sender.stats().dropped_lines)

    def _count(self, name: str, tags: dict[str, str], total: int) -> None:
        key = (name, *tags.values())
        news = total - self._reported.get(key, 0)
        if news:
            self._reported[key] = total
            self._meters.counter(name, tags).increment(news)

    def stats(self) -> ServiceStats:
        """All parts at this moment."""
        return ServiceStats(
            service=self.settings.service,
            instance=self.settings.instance,
            is_started=self._is_started,
            meters=self._meters.stats(),
            agent=self._agent.stats(),
            served=self._runtime.served.stats(),
            called=self._runtime.called.stats(),
            lease=self._membership.lease_stats(),
            view=self._membership.view_stats(),
            resolver=self._runtime.resolver.stats(),
            reports=self._membership.reporter_stats(),
            drain=self._runtime.drain.stats(),
            faults=self._runtime.faults.stats(),
            servers=[server.stats() for server in self._servers],
            clients=[client.stats() for client in self._clients],
            commands=[command.stats() for command in self.guards],
            live=self._upkeep.stats(),
        )
