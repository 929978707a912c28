"""Starting, watching and ending the processes of a fleet."""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from breakwater.fleet.errors import (
    DuplicateProcessError,
    InvalidSpecError,
    ProcessesLeftError,
    StartFailedError,
    SupervisorStoppedError,
    UnknownProcessError,
)
from breakwater.fleet.process import OwnedProcess
from breakwater.fleet.readiness import ask, is_taken, parse_ready_url
from breakwater.fleet.records import FleetEvent, FleetEventKind, FleetStats, ProcessRecord
from breakwater.fleet.restarts import RestartBudget, wait_before_restart
from breakwater.model import BreakwaterError, Clock, ProcessSpec

_NAME: Final = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,99}")
_POLL_S: Final = 0.05
_ASK_TIMEOUT_S: Final = 2.0
_KILL_TIMEOUT_S: Final = 5.0
_FAILED_GRACE_S: Final = 1.0


class Supervisor:
    """Owns the processes it starts, from `async with` to the end of the block or of the program.

    On leaving the block everything is stopped, also when the block failed or was cancelled. When
    the supervisor's own process is killed, the kernel kills each process it started; what those
    started themselves is then left, except on an orderly stop, which ends whole process groups.
    Runs on Linux 5.4 or newer. The event loop's thread must live as long as the processes are to.

    log_dir: one `<name>.log` per process, made when missing; above 16 MiB moved to `<name>.log.1`
    at the next start. on_event: called on the event loop for every step, must return quickly.
    restarts: None leaves the dead dead. grace_s: SIGTERM to SIGKILL, when the block is left.
    """

    def __init__(
        self,
        log_dir: Path,
        clock: Clock,
        *,
        on_event: Callable[[FleetEvent], None] | None = None,
        restarts: RestartBudget | None = None,
        grace_s: float = 5.0,
    ) -> None:
        self._log_dir = log_dir
        self._clock = clock
        self._on_event = on_event
        self._budget = restarts
        self._grace_s = grace_s
        self._owned: dict[str, OwnedProcess] = {}
        self._order: dict[str, int] = {}
        self._settled: set[str] = set()
        self._restarted_ms: dict[str, deque[int]] = {}
        self._stopping: anyio.Event | None = None
        self._tasks: TaskGroup | None = None
        self._started = self._exited = self._exited_unasked = 0
        self._restarts = self._killed_after_grace = 0

    async def __aenter__(self) -> Self:
        """Make the log folder; OSError when it cannot be made."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks, self._stopping = tasks, anyio.Event()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Stop everything, whatever ended the block, and let its error pass as it is."""
        assert self._tasks is not None
        assert self._stopping is not None
        tasks, self._tasks = self._tasks, None
        self._stopping.set()
        try:
            await self.stop()
        except ProcessesLeftError as error:
            return await tasks.__aexit__(type(error), error, error.__traceback__)
        # Every watcher ends with its process, so the group needs no cancelling; it only has to
        # see a cancellation, which may be its own, and not an error, which it would wrap.
        if isinstance(exc, anyio.get_cancelled_exc_class()):
            return await tasks.__aexit__(exc_type, exc, traceback)
        await tasks.__aexit__(None, None, None)
        return None

    async def start(
        self, specs: Sequence[ProcessSpec], *, deadline_s: float = 60.0, max_parallel: int = 4
    ) -> None:
        """Start all of `specs` and return when every one is ready.

        At most `max_parallel` are between start and readiness at once, in the order given. When
        one ends before it is ready, cannot be run, or `deadline_s` passes for the whole call,
        those of this call are ended again and StartFailedError names the first that failed.
        InvalidSpecError and DuplicateProcessError are raised before anything is started.
        """
        self._check(specs)
        for spec in specs:
            self._order.setdefault(spec.name, len(self._order))
        mine: dict[str, OwnedProcess] = {}
        failures: list[BreakwaterError] = []
        slots = anyio.CapacityLimiter(max_parallel)

        async def bring_up(spec: ProcessSpec) -> None:
            async with slots:
                try:
                    mine[spec.name] = child = await self._spawn(spec)
                    await self._await_ready(child)
                except BreakwaterError as error:
                    failures.append(error)
                    starters.cancel_scope.cancel()

        with anyio.move_on_after(deadline_s) as deadline:
            async with anyio.create_task_group() as starters:
                for spec in specs:
                    starters.start_soon(bring_up, spec)
        if deadline.cancelled_caught and not failures:
            failures.append(_overdue([spec.name for spec in specs], mine, deadline_s))
        if failures:
            with anyio.CancelScope(shield=True):
                await self._end(list(mine.values()), _FAILED_GRACE_S)
            for name, child in mine.items():
                if self._owned.get(name) is child:
                    del self._owned[name]
            raise failures[0]

    async def restart(
        self, name: str, *, deadline_s: float = 60.0, grace_s: float | None = None
    ) -> None:
        """End the process if it lives, start it again, return when it is ready.

        Raises UnknownProcessError, and StartFailedError when it does not come up; then it is left
        dead, and can be restarted again.
        """
        old = self._named(name)
        with anyio.CancelScope(shield=True):
            await self._end([old], self._grace_s if grace_s is None else grace_s)
        child = await self._spawn(old.spec)
        self._count_restart(name)
        try:
            with anyio.fail_after(deadline_s):
                await self._await_ready(child)
        except TimeoutError:
            await self.kill(name)
            raise _overdue([name], {name: child}, deadline_s) from None
        self._emit(FleetEventKind.RESTARTED, child)

    async def end(self, name: str, *, grace_s: float | None = None) -> None:
        """SIGTERM to the process, SIGKILL after `grace_s`; returns when it is dead, for good."""
        child = self._named(name)
        with anyio.CancelScope(shield=True):
            await self._end([child], self._grace_s if grace_s is None else grace_s)

    async def kill(self, name: str) -> None:
        """SIGKILL the process and all it started, and return when it is dead; it stays dead."""
        child = self._named(name)
        with anyio.CancelScope(shield=True):
            await self._end([child], 0.0)

    async def stop(self, grace_s: float | None = None) -> None:
        """End every process: SIGTERM (and SIGCONT for frozen ones), after `grace_s` SIGKILL.

        Returns when all are dead; not interrupted by cancellation, and bounded by `grace_s` plus
        five seconds, after which ProcessesLeftError names those the kernel did not end.
        """
        with anyio.CancelScope(shield=True):
            everyone = list(self._owned.values())
            await self._end(everyone, self._grace_s if grace_s is None else grace_s)

    def alive(self) -> list[str]:
        """Names of the processes that have not ended, in the order they were first given."""
        return [name for name, child in self._in_order() if child.is_alive]

    def processes(self) -> list[ProcessRecord]:
        """Every process started here and what it uses, the dead included; reads /proc."""
        return [
            child.record(len(self._restarted_ms.get(name, ()))) for name, child in self._in_order()
        ]

    def stats(self) -> FleetStats:
        """Counts since the supervisor was made."""
        return FleetStats(
            processes=len(self._owned),
            alive=len(self.alive()),
            started=self._started,
            exited=self._exited,
            exited_unasked=self._exited_unasked,
            restarts=self._restarts,
            killed_after_grace=self._killed_after_grace,
        )

    def _in_order(self) -> list[tuple[str, OwnedProcess]]:
        return sorted(self._owned.items(), key=lambda item: self._order[item[0]])

    def _check(self, specs: Sequence[ProcessSpec]) -> None:
        seen = set(self.alive())
        for spec in specs:
            if not _NAME.fullmatch(spec.name):
                raise InvalidSpecError(
                    f"process name '{spec.name}' must be letters, digits, '.', '_' and '-', "
                    "at most 100, and begin with a letter or digit: its log is named after it"
                )
            if not spec.argv:
                raise InvalidSpecError(f"process '{spec.name}' has an empty argv")
            if spec.ready_url is not None:
                parse_ready_url(spec.ready_url)
            if spec.name in seen:
                raise DuplicateProcessError(spec.name)
            seen.add(spec.name)

    def _named(self, name: str) -> OwnedProcess:
        if name not in self._owned:
            raise UnknownProcessError(name, self._owned)
        return self._owned[name]

    async def _spawn(self, spec: ProcessSpec, *, after: OwnedProcess | None = None) -> OwnedProcess:
        if spec.ready_url is not None and await is_taken(spec.ready_url):
            happened = f"was not started: something else already listens at {spec.ready_url}"
            raise StartFailedError(spec.name, happened, ())
        if self._tasks is None or (after is not None and after.is_end_asked):
            raise SupervisorStoppedError(f"process '{spec.name}' was not started: not supervising")
        occupant = self._owned.get(spec.name)
        if occupant is not None and occupant.is_alive:
            raise DuplicateProcessError(spec.name)
        # From here to the watcher there is no await: no cancellation can lose a started process.
        try:
            child = OwnedProcess.spawn(spec, self._log_dir / f"{spec.name}.log")
        except OSError as error:
            raise StartFailedError(spec.name, f"could not be started: {error}", ()) from error
        child.started_ms = self._clock.now_ms()
        self._owned[spec.name] = child
        self._started += 1
        self._tasks.start_soon(self._watch, child)
        self._emit(FleetEventKind.STARTING, child)
        return child

    async def _await_ready(self, child: OwnedProcess) -> None:
        url = child.spec.ready_url
        if not await child.launched():
            await child.ended.wait()
        while child.is_alive and url is not None:
            if (await ask(url, timeout_s=_ASK_TIMEOUT_S)).is_ready:
                break
            with anyio.move_on_after(_POLL_S):
                await child.ended.wait()
        if not child.is_alive:
            happened = f"{child.how_it_ended()} before it was ready"
            raise StartFailedError(child.spec.name, happened, child.tail())
        child.is_ready = True
        self._settled.add(child.spec.name)
        self._emit(FleetEventKind.READY, child)

    async def _end(self, children: Sequence[OwnedProcess], grace_s: float) -> None:
        """End these and return when they are dead; the caller shields."""
        for child in children:
            child.ask_to_end() if grace_s > 0 else child.kill()
        with anyio.move_on_after(max(grace_s, 0.0)):
            await _all_ended(children)
        for child in children:
            if child.is_alive and grace_s > 0:
                self._killed_after_grace += 1
                child.kill()
        with anyio.move_on_after(_KILL_TIMEOUT_S):
            await _all_ended(children)
        left = [child for child in children if child.is_alive]
        for child in left:
            child.abandon()
        if left:
            raise ProcessesLeftError([(child.spec.name, child.pid) for child in left])

    async def _watch(self, child: OwnedProcess) -> None:
        if not await child.watch():
            return
        self._exited += 1
        self._exited_unasked += not child.is_end_asked
        self._emit(FleetEventKind.EXITED, child)
        if not child.is_end_asked and child.spec.name in self._settled:
            await self._revive(child)

    async def _revive(self, dead: OwnedProcess) -> None:
        name = dead.spec.name
        before = self._restarted_ms.get(name, ())
        wait_s = wait_before_restart(self._budget, before, self._clock.now_ms())
        if wait_s is None or self._stopping is None:
            return
        with anyio.move_on_after(wait_s):
            await self._stopping.wait()
        if dead.is_end_asked or self._owned.get(name) is not dead:
            return  # stopped, or started again by somebody else, meanwhile
        try:
            child = await self._spawn(dead.spec, after=dead)
            self._count_restart(name)
            await self._await_ready(child)
        except BreakwaterError:
            return  # its end was told as an event, and its own watcher tries again
        self._emit(FleetEventKind.RESTARTED, child)

    def _count_restart(self, name: str) -> None:
        self._restarts += 1
        self._restarted_ms.setdefault(name, deque(maxlen=1000)).append(self._clock.now_ms())

    def _emit(self, kind: FleetEventKind, child: OwnedProcess) -> None:
        if self._on_event is None:
            return
        event = FleetEvent(
            kind=kind,
            name=child.spec.name,
            service=child.spec.service,
            pid=child.pid,
            at_ms=self._clock.now_ms(),
            ready=sum(1 for c in self._owned.values() if c.is_alive and c.is_ready),
            total=len(self._owned),
            expected=child.is_end_asked if kind is FleetEventKind.EXITED else True,
            detail=child.how_it_ended() if kind is FleetEventKind.EXITED else "",
        )
        try:
            self._on_event(event)
        except BaseException:
            self._on_event = None  # a broken display fails the block once, not every step of stop
            raise


async def _all_ended(children: Sequence[OwnedProcess]) -> None:
    for child in children:
        await child.ended.wait()


def _overdue(
    names: Sequence[str], started: Mapping[str, OwnedProcess], deadline_s: float
) -> StartFailedError:
    unready = [name for name in names if name in started and not started[name].is_ready]
    waiting = [name for name in names if name not in started]
    first = (unready + waiting)[0]
    others = len(unready) + len(waiting) - 1
    happened = f"was not ready after {deadline_s:g} s"
    if others:
        happened += f" (nor were {others} others)"
    return StartFailedError(first, happened, started[first].tail() if first in started else ())
