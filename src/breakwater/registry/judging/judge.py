"""The loop that weighs evidence, has doubtful instances looked at, and ends leases."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count
from typing import Final

import anyio
import msgspec

from breakwater.model import CallerReport, Clock, Health
from breakwater.registry.holding.happenings import Deed, Happening, Origin
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.registry import Registry
from breakwater.registry.judging.case import NEVER, Case, case_of
from breakwater.registry.judging.evidence import Evidence, Probed, Record, Told
from breakwater.registry.judging.probing import (
    Place,
    Probe,
    Sight,
    SocketProbe,
)
from breakwater.registry.judging.rota import Key, Rota
from breakwater.registry.judging.verdicts import (
    Crowd,
    Facts,
    Finding,
    Verdict,
    is_late,
    is_unexplained,
    judge,
)

_FIRST_PROBE_S: Final = 1.0
"""Who refuses so soon after registering may only be starting, and is looked at once more."""

_PAUSE_S: Final = 0.02
_TIDY_S: Final = 30.0
_AT_ONCE: Final = 500
"""Cases judged before others have their turn in this process: some 10 ms."""

_ENDS: Final = frozenset((Deed.CANCELLED, Deed.EVICTED))

HealthListener = Callable[[Lease, Health], None]
"""Told when it is more, or less, sure than before that an instance is there."""


class JudgeStats(msgspec.Struct, frozen=True, kw_only=True):
    """Instances by how sure it is that they are there; evidence taken; decisions made.

    condemned: leases ended, by reason. reports: of callers on instances, `reports_unknown` of them
    on instances nobody registered, `reports_dropped` for want of room.
    """

    healths: dict[str, int]
    pinned: int
    probes: int
    probes_waiting: int
    findings: dict[str, int]
    callers: int
    reports: int
    reports_unknown: int
    reports_dropped: int
    condemned: int
    standstill_s: float


class Judge:
    """Decides when an instance that went silent is gone, and looks for itself before it does.

    A lease is looked at when it may have become late or has run out, when evidence comes in, and
    while there is doubt; long leases are watched all the time. A look costs O(1), the end of a
    lease O(instances). What `health_of` answers is what listeners were told last.
    """

    def __init__(self, registry: Registry, clock: Clock, probe: Probe | None = None) -> None:
        self._registry = registry
        self._settings = settings = registry.settings
        self._clock = clock
        self._evidence = Evidence()
        self._cases: dict[Key, Case] = {}
        self._places: dict[Place, Case] = {}
        self._agenda: list[tuple[float, int, Case]] = []
        self._numbers = count()
        self._fresh_news: dict[Key, Case] = {}
        self._news = anyio.Event()
        self._listeners: list[HealthListener] = []
        self._pins: set[Key] = set()
        self._is_silent: Callable[[str], bool] = _speaks
        self._findings: Counter[str] = Counter()
        self._condemned = 0
        self._standstill_s = 0.0
        self._tidied_s = clock.monotonic_s()
        self._due_s = NEVER
        self._counted = _ALONE
        self._crowd_s = self._excused_s = -NEVER
        self._rota = Rota(
            probe or SocketProbe(settings.probe_timeout_s),
            self._found,
            per_s=settings.max_probes_per_s,
        )
        for lease in registry.leases():
            self._open(lease)
        registry.listen(self._heard)

    def listen(self, listener: HealthListener) -> None:
        """Have `listener` called whenever the health of an instance changes."""
        self._listeners.append(listener)

    def heed_peers(self, is_silent: Callable[[str], bool]) -> None:
        """Ask `is_silent(via)` whether the peer that passes renewals on is out of reach."""
        self._is_silent = is_silent

    def pin(self, app: str, instance_id: str) -> None:
        """Neither hide nor end what is registered under that name, whatever the evidence."""
        self._pins.add((app.upper(), instance_id))
        self._reconsider((app.upper(), instance_id))

    def unpin(self, app: str, instance_id: str) -> None:
        """Judge it as any other again."""
        self._pins.discard((app.upper(), instance_id))
        self._reconsider((app.upper(), instance_id))

    def health_of(self, lease: Lease) -> Health:
        """How sure it is that the holder of `lease` is there."""
        case = self._cases.get((lease.info.app, lease.info.instance_id))
        return Health.FRESH if case is None else case.health

    def reason_of(self, lease: Lease) -> str:
        """Why it is not simply fresh; empty if it is."""
        case = self._cases.get((lease.info.app, lease.info.instance_id))
        return "" if case is None else case.reason

    def record_of(self, lease: Lease) -> Record | None:
        """What was heard of the holder of `lease`."""
        return self._evidence.of(lease.info.app, lease.info.instance_id)

    def is_pinned(self, app: str, instance_id: str) -> bool:
        """Whether an operator keeps it."""
        return (app.upper(), instance_id) in self._pins

    def take(self, report: CallerReport) -> int:
        """Remember what a caller saw; returns how many of its callees are registered here."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        known = 0
        for callee in report.callees:
            told = Told(
                caller=report.caller,
                at_s=now_s,
                at_ms=now_ms,
                window_s=report.window_s,
                report=callee,
            )
            if self._evidence.take(told) is None:
                continue
            known += 1
            key = (callee.service.upper(), callee.instance_id)
            case = self._cases[key]
            if callee.refused:
                self._suspect(case)
            if case.health is not Health.FRESH:
                self._reconsider(key)
        return known

    async def run(self) -> None:
        """Judge and probe until cancelled; the server runs this beside the HTTP routes.

        When this process itself stood still (suspended, starved), nobody's renewal was heard;
        that time is given back to every lease instead of being held against it.
        """
        async with anyio.create_task_group() as group:
            if self._settings.probing:
                group.start_soon(self._rota.run)
            due_s = self.round()
            while True:
                await self._pause(due_s)
                due_s = self.round()

    async def _pause(self, due_s: float) -> None:
        """Sleep until `due_s` or until there is news, and note a standstill."""
        most_s = self._settings.evict_interval_s
        before_s = self._clock.monotonic_s()
        planned_s = min(max(due_s - before_s, min(_PAUSE_S, most_s)), most_s)
        if self._fresh_news:
            planned_s = min(planned_s, _PAUSE_S)
        self._news = anyio.Event()
        self._due_s = due_s
        with anyio.move_on_after(planned_s):
            await self._news.wait()
        late_s = self._clock.monotonic_s() - before_s - planned_s
        if late_s > most_s:
            self._standstill_s += late_s
            self._registry.prolong(late_s)

    def round(self) -> float:
        """Judge whoever is due, some hundred at once; returns when the next is (monotonic time)."""
        now_s = self._clock.monotonic_s()
        due: dict[Key, Case] = {}
        while self._fresh_news and len(due) < _AT_ONCE:
            key, case = self._fresh_news.popitem()
            due[key] = case
        while self._agenda and self._agenda[0][0] <= now_s and len(due) < _AT_ONCE:
            planned_s, _, case = heapq.heappop(self._agenda)
            if case.planned_s == planned_s and self._cases.get(case.key) is case:
                case.planned_s = NEVER
                due[case.key] = case
        for key in self._judge(due.values(), now_s):
            self._condemned += 1
            self._registry.lapse(*key, origin=Origin.REGISTRY)
        if now_s - self._tidied_s >= _TIDY_S:
            self._tidied_s = now_s
            self._registry.evict(_everybody)
        for key, case in due.items():
            if self._cases.get(key) is case:
                self._plan(case, now_s)
        return self._agenda[0][0] if self._agenda else NEVER

    def stats(self) -> JudgeStats:
        """Numbers for the platform's own metrics."""
        return JudgeStats(
            healths=dict(Counter(case.health.value for case in self._cases.values())),
            pinned=len(self._pins),
            probes=self._rota.probes,
            probes_waiting=len(self._rota),
            findings=dict(self._findings),
            callers=self._evidence.callers,
            reports=self._evidence.reports,
            reports_unknown=self._evidence.unknown,
            reports_dropped=self._evidence.dropped,
            condemned=self._condemned,
            standstill_s=self._standstill_s,
        )

    def _judge(self, cases: Iterable[Case], now_s: float) -> list[Key]:
        """Show the verdict on each case; returns whose leases are to end."""
        condemned = []
        for case in cases:
            facts = self._facts(case, now_s)
            crowd = self._crowd(now_s) if is_late(facts) else _ALONE
            verdict = judge(facts, crowd, preserve_s=self._settings.preserve_s)
            if verdict.is_over:
                condemned.append(case.key)
            else:
                self._show(case, verdict)
        return condemned

    def _show(self, case: Case, verdict: Verdict) -> None:
        case.reason = verdict.reason
        if case.health is verdict.health:
            return
        case.health = verdict.health
        for listener in self._listeners:
            listener(case.lease, verdict.health)

    def _facts(self, case: Case, now_s: float) -> Facts:
        lease, record = case.lease, case.record
        finding = record.finding(renewed_s=lease.renewed_s)
        is_cut_off = bool(lease.via) and self._is_silent(lease.via)
        if is_cut_off:
            case.excused_s = now_s
        return Facts(
            lapsed_s=now_s - lease.deadline_s,
            interval_s=lease.info.lease.renewal_interval_s,
            lease_s=lease.info.lease.duration_s,
            is_recalled=lease.is_recalled,
            finding=finding,
            was_found=record.was_found,
            is_contradicted=finding is not None and finding is record.contradicted,
            is_replaced=case.late_s <= now_s and self._is_replaced(case),
            succeeded=record.succeeded(now_s=now_s),
            refused=record.refused(now_s=now_s, renewed_s=lease.renewed_s),
            is_cut_off=is_cut_off,
            excused_ago_s=now_s - max(self._excused_s, case.excused_s),
            is_pinned=case.key in self._pins,
        )

    def _is_replaced(self, case: Case) -> bool:
        """Whether another one registered at the address of this one since it renewed last."""
        holder = None if case.place is None else self._places.get(case.place)
        if holder is None or holder is case or holder.health is not Health.FRESH:
            return False
        return holder.opened_s > case.lease.renewed_s

    def _crowd(self, now_s: float) -> Crowd:
        """How many can be heard at all, and how many of them are silent for no known reason.

        O(instances); counted again after a tenth of a millisecond for each of them.
        """
        if now_s - self._crowd_s < len(self._cases) * 1e-4:
            return self._counted
        known = silent = 0
        for case in self._cases.values():
            via = case.lease.via
            if case.key in self._pins or (via and self._is_silent(via)):
                continue
            known += 1
            if case.late_s < now_s:
                heard = case.record.probes or case.record.callers
                silent += not heard or is_unexplained(self._facts(case, now_s))
        self._crowd_s = now_s
        self._counted = Crowd(known=known, silent=silent)
        if self._counted.is_many:
            self._excused_s = now_s
        return self._counted

    def _plan(self, case: Case, now_s: float) -> None:
        """Have a case probed if it is time, and put it on the agenda for its next moment."""
        if case.health is not Health.FRESH and case.probe_due_s == NEVER:
            case.probe_due_s = now_s
        if case.probe_due_s <= now_s:
            case.probe_due_s = now_s + self._settings.probe_every_s
            if case.target is not None and case.key not in self._pins:
                case.probe_due_s = NEVER  # it stands in the queue until it is found
                is_urgent = case.health is not Health.FRESH or not case.is_long
                self._rota.ask(case.key, case.target, is_urgent=is_urgent)
        moments = [case.probe_due_s, case.lease.deadline_s]
        if case.health is Health.FRESH:
            moments.append(max(case.late_s, now_s + _PAUSE_S))
        ahead = [moment for moment in moments if now_s < moment < NEVER]
        self._expect(case, min(ahead, default=now_s + self._settings.probe_every_s))

    def _expect(self, case: Case, moment_s: float) -> None:
        """Look at a case at `moment_s`, unless that is done sooner anyway."""
        if moment_s >= case.planned_s:
            return
        case.planned_s = moment_s
        heapq.heappush(self._agenda, (moment_s, next(self._numbers), case))
        if moment_s < self._due_s:
            self._news.set()

    def _open(self, lease: Lease, *, is_told_by_itself: bool = False) -> None:
        """Begin a case for a new lease."""
        info = lease.info
        record = self._evidence.begin(info.app, info.instance_id)
        now_s = self._clock.monotonic_s()
        case = case_of(lease, record, now_s, is_probed=self._settings.probing)
        self._leave_place(self._cases.get(case.key))
        self._cases[info.app, info.instance_id] = case
        if is_told_by_itself and case.place is not None:
            self._places[case.place] = case
        self._fresh_news.pop((info.app, info.instance_id), None)
        if lease.is_recalled:
            case.health = Health.LATE
            case.reason = "not heard of since this registry came back"
        self._plan(case, now_s)

    def _heard(self, happening: Happening) -> None:
        info = happening.info
        key = (info.app, info.instance_id)
        case = self._cases.get(key)
        if happening.deed in _ENDS:
            self._close(key)
            return
        if case is None or happening.deed is not Deed.RENEWED:
            lease = self._registry.lease(*key)
            if case is None or case.lease is not lease:
                self._open(lease, is_told_by_itself=happening.origin is Origin.CLIENT)
            return
        self._renewed(case)

    def _renewed(self, case: Case) -> None:
        renewed_s = case.lease.renewed_s
        is_fresh = case.health is Health.FRESH
        was_contradicted = case.record.contradicted
        case.record.note_renewal(renewed_s - case.heard_s, is_late=not is_fresh)
        case.heard_s = renewed_s
        if case.record.contradicted is not was_contradicted:
            self._suspect(case)
        if not is_fresh:
            if not case.is_long:
                case.probe_due_s = NEVER
            self._reconsider(case.key)
            self._judge([case], self._clock.monotonic_s())

    def _close(self, key: Key) -> None:
        self._leave_place(self._cases.pop(key, None))
        self._fresh_news.pop(key, None)
        self._evidence.forget(*key)
        self._rota.forget(key)

    def _leave_place(self, case: Case | None) -> None:
        if case is not None and case.place is not None and self._places.get(case.place) is case:
            del self._places[case.place]

    def _suspect(self, case: Case) -> None:
        """Have a case looked at now, unless that was done just before."""
        now_s = self._clock.monotonic_s()
        probes = case.record.probes
        if not probes or now_s - probes[-1].at_s >= _FIRST_PROBE_S:
            case.probe_due_s = now_s
            self._reconsider(case.key)

    def _reconsider(self, key: Key) -> None:
        """Judge a case in the next round: something new is known of it."""
        case = self._cases.get(key)
        if case is not None:
            self._fresh_news[key] = case
            self._news.set()

    def _found(self, key: Key, sight: Sight, took_s: float) -> None:
        """Take in what a probe found."""
        self._findings[sight.finding.value] += 1
        case = self._cases.get(key)
        if case is None:
            return
        now_s = self._clock.monotonic_s()
        again_s = self._again_s(case, sight, now_s - took_s)
        if again_s is not None:
            case.probe_due_s = max(now_s, again_s)
            self._reconsider(key)
            return
        case.record.note_probe(
            Probed(
                at_s=now_s - took_s,
                at_ms=self._clock.now_ms() - round(took_s * 1_000),
                finding=sight.finding,
                took_ms=round(took_s * 1_000, 3),
                said=sight.said,
            )
        )
        is_watched = case.is_long or case.health is not Health.FRESH
        case.probe_due_s = now_s + self._settings.probe_every_s if is_watched else NEVER
        self._reconsider(key)

    def _again_s(self, case: Case, sight: Sight, began_s: float) -> float | None:
        """When to look again, where a look that began then tells nothing yet; None if it does.

        It may have been at the address of the life before; and who refuses at first may not be
        listening yet.
        """
        if began_s < case.opened_s - _PAUSE_S:
            return case.opened_s
        is_early = began_s < case.opened_s + _FIRST_PROBE_S - _PAUSE_S
        is_open = case.health is Health.FRESH and not case.record.was_found
        if sight.finding is Finding.REFUSED and is_early and is_open:
            return case.opened_s + _FIRST_PROBE_S
        return None


def _speaks(_via: str) -> bool:
    return False


def _everybody(_lease: Lease) -> bool:
    return True


_ALONE: Final = Crowd(known=1, silent=1)
