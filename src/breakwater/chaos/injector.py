"""Starting and undoing faults: performs what `decide` allows, in an order that survives a crash."""

import random
import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec
import structlog

from breakwater.chaos.chronicle import Chronicle, FaultJournal
from breakwater.chaos.decision import decide
from breakwater.chaos.errors import LeashedError, UndoFailedError, UnknownFaultError
from breakwater.chaos.fault import (
    ChaosKind,
    ChaosStats,
    Fault,
    FaultRequest,
    FaultState,
    Plan,
    ProcessAct,
)
from breakwater.chaos.lifeline import Lifeline
from breakwater.chaos.rulebook import RuleBook
from breakwater.chaos.settings import ChaosSettings
from breakwater.chaos.victims import boot_id, held, strike, thaw, this_machine
from breakwater.model import BreakwaterError, Clock, FaultRules, InstanceView

_KEPT_ENDED: Final = 200
_DEADMAN_MARGIN_S: Final = 2.0
_MAINTAIN_EVERY_S: Final = 0.2
_CRASH_NOTE: Final = "a crash is not undone here: it is over when the instance is started again"
_RECOVERED_NOTE: Final = "undone at the start of the platform, which had ended while it ran"

_draw = random.SystemRandom().random
log = structlog.get_logger("breakwater.chaos")


class _Running(msgspec.Struct, kw_only=True):
    """A fault in force; the only mutable record, owned by Chaos."""

    fault: Fault
    ends_s: float
    lifeline: Lifeline | None = None
    is_left_over: bool = False
    ending: FaultState | None = None


class Chaos:
    """Starts faults, hands out their rules, ends them in time, and undoes what a crash left.

    Order of a start: decide, hold the victims, journal, undo ledger (fsync), dead-man, touch; a
    failure at any point undoes what came before. Order of an end: heal first, then write it down;
    what cannot be written is kept and retried. One start or end at a time.

    registry_view: the instances registered now. ledger_path: the undo ledger, opened and locked at
    once; LedgerInUseError when another process holds it, OSError when it cannot be opened.
    new_id, draw: where ids and the choice of an instance come from; the machine's own by default.
    """

    def __init__(
        self,
        registry_view: Callable[[], InstanceView],
        ledger_path: Path,
        journal: FaultJournal,
        clock: Clock,
        settings: ChaosSettings | None = None,
        *,
        new_id: Callable[[], str] = lambda: f"f-{secrets.token_hex(4)}",
        draw: Callable[[], float] = _draw,
    ) -> None:
        self._settings = settings or ChaosSettings()
        self._registry_view = registry_view
        self._clock = clock
        self._new_id = new_id
        self._draw = draw
        self._chronicle = Chronicle(
            journal, ledger_path, clock, timeout_s=self._settings.journal_timeout_s
        )
        self._is_recovered = False
        self._rules = RuleBook(
            clock, max_wait_s=self._settings.max_wait_s, max_waiters=self._settings.max_waiters
        )
        self._lock = anyio.Lock()
        self._running: dict[str, _Running] = {}
        self._ended: deque[Fault] = deque(maxlen=_KEPT_ENDED)
        self._started = self._undone = self._expired = self._refused = self._recovered = 0

    def preview(self, request: FaultRequest) -> Plan:
        """What `request` would touch now; changes nothing. Raises what `decide` raises.

        An instance that the request leaves open is drawn anew at every call.
        """
        return self._plan(request, "dry-run")

    async def inject(self, request: FaultRequest) -> Fault:
        """Start a fault and return it once it is in force.

        Raises LeashedError while leashed (with the plan), what `decide` raises, VictimError when
        the process is not what it was registered as, NotRecordedError when journal or ledger
        cannot be written. After any error nothing stays touched.
        """
        async with self._lock:
            await self._recover()
            try:
                plan = self._plan(request, fault_id := self._new_id())
                if self._settings.leashed:
                    raise LeashedError(plan)
                with anyio.CancelScope(shield=True), held(plan.acts) as pidfds:
                    fault = await self._carry_out(fault_id, plan, pidfds)
            except BreakwaterError:
                self._refused += 1
                raise
            self._started += 1
        log.info("chaos.fault.started", fault=fault.id, touches=[t.what for t in fault.targets])
        return fault

    async def undo(self, fault_id: str) -> Fault:
        """End a fault now and return it; one that has ended already is returned as it is.

        Raises UnknownFaultError, and UndoFailedError when a process could not be continued: then
        the fault stays active and is retried.
        """
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._recover()
                if fault_id in self._running:
                    await self._end_all([fault_id], FaultState.UNDONE)
        return self.find(fault_id)

    async def undo_all(self) -> list[Fault]:
        """End every fault now, whatever fails for one of them; the big red button.

        Returns those that ended. Raises UndoFailedError, after all were tried, naming the rest.
        """
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._recover()
                ended = await self._end_all(list(self._running), FaultState.UNDONE)
        return ended

    async def recover(self) -> list[Fault]:
        """Undo what an earlier run of the platform left behind; idempotent.

        Call it once at the start; every other act does it first if it was not called. Raises
        UndoFailedError when a process stays stopped; then it is retried by `maintain`.
        """
        with anyio.CancelScope(shield=True):
            async with self._lock:
                recovered = await self._recover()
                stuck = [fault.id for fault in recovered if fault.id in self._running]
        if stuck:
            raise UndoFailedError(f"left by an earlier run and not undone yet: {', '.join(stuck)}")
        return recovered

    async def maintain(self) -> None:
        """One round of `run`: end what is due or has lost its dead-man, retry what is unwritten."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._recover()
                now_s = self._clock.monotonic_s()
                due = [key for key, running in self._running.items() if running.ends_s <= now_s]
                await self._end_or_log(due, FaultState.EXPIRED)
                unheld = [
                    k for k, r in self._running.items() if r.lifeline and not r.lifeline.is_held
                ]
                await self._end_or_log(unheld, FaultState.UNDONE)
                await self._chronicle.write_again()

    async def run(self) -> None:
        """Maintain forever; for the platform's task group."""
        while True:
            await self.maintain()
            await anyio.sleep(_MAINTAIN_EVERY_S)

    async def close(self) -> None:
        """Undo everything, answer all who wait for rules, give the ledger back."""
        self._rules.close()
        try:
            await self.undo_all()
            await self._chronicle.write_again()
        finally:
            self._chronicle.close()

    def faults(self, *, active_only: bool = False) -> list[Fault]:
        """The running faults and, unless `active_only`, the last 200 that ended; oldest first."""
        ended = [] if active_only else list(self._ended)
        return ended + [running.fault for running in self._running.values()]

    def find(self, fault_id: str) -> Fault:
        """One fault by its id, running or recently ended; UnknownFaultError otherwise."""
        for fault in self.faults():
            if fault.id == fault_id:
                return fault
        raise UnknownFaultError(fault_id, self._running)

    def rules_for(self, service: str, instance: str | None = None) -> FaultRules:
        """The rules one instance has to obey now; an unknown service has none."""
        return self._rules.rules_for(service, instance)

    async def wait_rules(
        self, service: str, instance: str | None, revision: int | None, wait_s: float
    ) -> FaultRules:
        """The rules as soon as their revision is not `revision`, at the latest after `wait_s`.

        `wait_s` is cut to the settings' max_wait_s. Raises TooManyWaitersError.
        """
        return await self._rules.wait(service, instance, revision, wait_s)

    def stats(self) -> ChaosStats:
        """Counts since the start of the platform."""
        return ChaosStats(
            leashed=self._settings.leashed,
            active=len(self._running),
            started=self._started,
            undone=self._undone,
            expired=self._expired,
            refused=self._refused,
            recovered=self._recovered,
            waiters=self._rules.waiters,
            unwritten_ends=self._chronicle.unwritten,
            damaged_ledger_lines=self._chronicle.damaged_lines,
        )

    def _plan(self, request: FaultRequest, fault_id: str) -> Plan:
        return decide(
            request,
            view=self._registry_view(),
            active=[running.fault for running in self._running.values()],
            settings=self._settings,
            machine=this_machine(),
            fault_id=fault_id,
            now_ms=self._clock.now_ms(),
            draw=self._draw(),
        )

    async def _carry_out(self, fault_id: str, plan: Plan, pidfds: dict[ProcessAct, int]) -> Fault:
        request, started_ms = plan.request, self._clock.now_ms()
        fault = Fault(
            id=fault_id,
            state=FaultState.ACTIVE,
            started_ms=started_ms,
            ends_ms=started_ms + round(request.duration_s * 1000.0),
            request=request,
            targets=plan.targets,
            acts=list(pidfds),
            note=_CRASH_NOTE if request.kind is ChaosKind.CRASH else "",
        )
        fault = await self._chronicle.begin(fault, boot_id())
        running = _Running(fault=fault, ends_s=self._clock.monotonic_s() + request.duration_s)
        self._running[fault_id] = running
        try:
            await self._touch(running, plan, pidfds)
        except BaseException:
            await self._end_all([fault_id], FaultState.UNDONE)
            raise
        return fault

    async def _touch(self, running: _Running, plan: Plan, pidfds: dict[ProcessAct, int]) -> None:
        if any(act.signal == "stop" for act in pidfds):
            ttl_s = plan.request.duration_s + _DEADMAN_MARGIN_S
            running.lifeline = await Lifeline.start(list(pidfds), ttl_s)
        for act, pidfd in pidfds.items():
            strike(act, pidfd)
        self._rules.put(running.fault.id, plan.rules)

    async def _recover(self) -> list[Fault]:
        """Turn what the ledger left open into running faults that are due, and end them."""
        if self._is_recovered:
            return []
        self._is_recovered = True
        left, boot = self._chronicle.left_open, boot_id()
        for fault_id, began in left.items():
            acts = began.fault.acts if began.boot == boot else []
            fault = msgspec.structs.replace(began.fault, acts=acts, note=_RECOVERED_NOTE)
            self._running[fault_id] = _Running(
                fault=fault, ends_s=self._clock.monotonic_s(), is_left_over=True
            )
        if left:
            log.warning("chaos.recovering", faults=list(left))
        self._recovered += len(left)
        await self._end_or_log(list(left), FaultState.UNDONE)
        await self._chronicle.end_strays()
        return [self.find(fault_id) for fault_id in left]

    async def _end_all(self, fault_ids: list[str], state: FaultState) -> list[Fault]:
        """Heal every one before anything is written down, so that no slow disk delays healing."""
        failures: list[str] = []
        healed: list[Fault] = []
        for fault_id in fault_ids:
            try:
                healed.append(await self._heal(fault_id, state))
            except (UndoFailedError, OSError) as error:  # OSError: no descriptor is left, perhaps
                failures.append(f"{fault_id}: {error}")
        for fault in healed:
            await self._chronicle.end(fault)
        if failures:
            raise UndoFailedError("; ".join(failures))
        return healed

    async def _end_or_log(self, fault_ids: list[str], state: FaultState) -> None:
        try:
            await self._end_all(fault_ids, state)
        except UndoFailedError as error:
            log.warning("chaos.undo.failed", reason=str(error))

    async def _heal(self, fault_id: str, state: FaultState) -> Fault:
        running = self._running[fault_id]
        running.ends_s = self._clock.monotonic_s()  # due from now on: what fails is tried again
        state = running.ending = running.ending or state
        self._rules.drop(fault_id)
        await thaw(running.fault.acts)
        if running.lifeline is not None:
            await running.lifeline.release()
        del self._running[fault_id]
        ended_ms = max(self._clock.now_ms(), running.fault.started_ms)
        if running.is_left_over:  # its rules ended in time without us, its freezes at the crash
            ended_ms = min(ended_ms, running.fault.ends_ms)
        fault = msgspec.structs.replace(running.fault, state=state, ended_ms=ended_ms)
        self._ended.append(fault)
        self._undone += state is FaultState.UNDONE
        self._expired += state is FaultState.EXPIRED
        log.info("chaos.fault.ended", fault=fault_id, state=state.value)
        return fault
