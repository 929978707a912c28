"""Fleets in virtual time: who is hidden, who is ended, and after how many seconds."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from tests.registry.instances import instance

from breakwater.model import CalleeReport, CallerReport, Health, InstanceKey
from breakwater.registry import LeaseInfo, Port, Registry, RegistrySettings, UnknownInstanceError
from breakwater.registry.holding.happenings import Deed, Happening, Origin
from breakwater.registry.holding.lease import Lease
from breakwater.registry.judging.judge import Judge
from breakwater.registry.judging.probing import Sight, Target
from breakwater.registry.judging.verdicts import Finding
from breakwater.testing import FakeClock, run_virtual

APP = "RANKER"
NATIVE = LeaseInfo(renewal_interval_s=5, duration_s=15)
CLASSIC = LeaseInfo(renewal_interval_s=30, duration_s=90)


class Fleet:
    """Simulated instances: each renews with jitter while it runs, and answers while it listens."""

    def __init__(
        self, size: int, terms: LeaseInfo = NATIVE, *, seed: int = 1, **settings: Any
    ) -> None:
        self.clock = FakeClock()
        self.registry = Registry(RegistrySettings(**settings), self.clock)
        self.judge = Judge(self.registry, self.clock, self._probe)
        self.names = [f"i-{number}" for number in range(size)]
        self.terms = terms
        self.heard = set(self.names)
        self.listening = set(self.names)
        self.finding = Finding.ACCEPTS
        self.probed = 0
        self.ended: dict[str, float] = {}
        self.healths: list[tuple[float, str, Health]] = []
        self._random = random.Random(seed)
        self.registry.listen(self._note)
        self.judge.listen(self._note_health)

    def run(self, story: Callable[["Fleet"], Awaitable[None]]) -> None:
        """Tell `story` while the fleet renews and the judge judges."""

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.judge.run)
                for number, name in enumerate(self.names):
                    self.register(name, number)
                    group.start_soon(self._renew, name)
                await anyio.sleep(self.terms.duration_s)
                assert self.ended == {}
                self.healths.clear()
                self._began_s = self.clock.monotonic_s()
                await story(self)
                group.cancel_scope.cancel()

        run_virtual(main(), self.clock)

    def register(self, name: str, number: int = 0) -> None:
        """Register one, listening at a port that tells the probe who it is."""
        port = Port(number=number + 1, is_enabled=True)
        self.registry.register(APP, instance(name, lease=self.terms, port=port))

    async def _renew(self, name: str) -> None:
        interval_s = self.terms.renewal_interval_s
        await anyio.sleep(self._random.uniform(0, interval_s))
        while True:
            if name in self.heard:
                try:
                    self.registry.renew(APP, name)
                except UnknownInstanceError:  # as a client does
                    self.register(name, self.names.index(name))
            await anyio.sleep(interval_s * self._random.uniform(0.9, 1.1))

    async def _probe(self, target: Target) -> Sight:
        self.probed += 1
        await anyio.sleep(0.5 if self.names[target.port - 1] not in self.listening else 0.001)
        if self.names[target.port - 1] in self.listening:
            return Sight(finding=self.finding)
        return Sight(finding=Finding.REFUSED)

    def kill(self, *names: str) -> None:
        """Neither renews nor listens any more."""
        self.heard -= set(names)
        self.listening -= set(names)

    def since(self) -> float:
        """Seconds since the story began."""
        return self.clock.monotonic_s() - self._began_s

    def first(self, name: str, health: Health) -> float | None:
        """When an instance was first said to be so."""
        return next((at for at, who, what in self.healths if (who, what) == (name, health)), None)

    def health(self, name: str) -> Health:
        """What is thought of one now."""
        return self.judge.health_of(self.registry.lease(APP, name))

    def _note(self, happening: Happening) -> None:
        if happening.deed is Deed.EVICTED:
            self.ended[happening.info.instance_id] = self.since()

    def _note_health(self, lease: Lease, health: Health) -> None:
        self.healths.append((self.since(), lease.info.instance_id, health))

    _began_s = 0.0


SIZES = [*range(1, 13), pytest.param(1_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("terms", [NATIVE, CLASSIC], ids=["native", "classic"])
def test_one_crash_in_a_fleet_of_any_size(size: int, terms: LeaseInfo) -> None:
    """A crashed instance is hidden within 15 s and ended with its lease; nobody else is touched.

    With leases of 90 s it is the steady look of the probes that finds out.
    """

    async def story(fleet: Fleet) -> None:
        fleet.kill("i-0")
        await anyio.sleep(terms.duration_s + 1)

    fleet = Fleet(size, terms)
    fleet.run(story)
    hidden_s = fleet.first("i-0", Health.LOST)
    assert hidden_s is not None
    assert hidden_s <= 15
    assert list(fleet.ended) == ["i-0"]
    assert fleet.ended["i-0"] <= terms.duration_s + 0.1
    assert {who for _, who, _ in fleet.healths} == {"i-0"}


@pytest.mark.parametrize("size", SIZES)
def test_one_crash_without_probes(size: int) -> None:
    """Without probes a crash is ended at its deadline, 15 s after the last renewal."""

    async def story(fleet: Fleet) -> None:
        fleet.kill("i-0")
        await anyio.sleep(16)

    fleet = Fleet(size, probing=False)
    fleet.run(story)
    assert list(fleet.ended) == ["i-0"]
    assert 8.9 <= fleet.ended["i-0"] <= 15.1


@pytest.mark.parametrize("size", [2, 3, 12, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("probing", [True, False])
def test_a_partition_drops_nobody(size: int, *, probing: bool) -> None:
    """When nobody is heard any more everybody is kept, in doubt, and fresh again afterwards."""

    async def story(fleet: Fleet) -> None:
        heard, fleet.heard = fleet.heard, set()
        fleet.finding = Finding.UNREACHABLE
        await anyio.sleep(60)
        assert {fleet.health(name) for name in fleet.names} == {Health.DOUBTFUL}
        fleet.heard = heard
        await anyio.sleep(6)
        assert {fleet.health(name) for name in fleet.names} == {Health.FRESH}

    fleet = Fleet(size, probing=probing)
    fleet.run(story)
    assert fleet.ended == {}
    assert Health.LOST not in {health for _, _, health in fleet.healths}


@pytest.mark.slow
def test_the_dead_among_the_silent_are_dropped() -> None:
    """In a mass lapse those who refuse go at their deadline, those who answer stay for good."""

    async def story(fleet: Fleet) -> None:
        fleet.heard = set()
        fleet.finding = Finding.ANSWERS
        fleet.listening -= {"i-1", "i-2"}
        await anyio.sleep(1_000)

    fleet = Fleet(12)
    fleet.run(story)
    assert sorted(fleet.ended) == ["i-1", "i-2"]
    assert max(fleet.ended.values()) <= 15.1


def test_the_unknown_are_kept_for_a_while_only() -> None:
    """Whom nothing proves dead or alive after a mass lapse goes after `preserve_s`."""

    async def story(fleet: Fleet) -> None:
        fleet.heard = set()
        fleet.finding = Finding.UNREACHABLE
        await anyio.sleep(100)
        assert fleet.ended == {}
        await anyio.sleep(40)

    fleet = Fleet(4, preserve_s=100.0)
    fleet.run(story)
    assert len(fleet.ended) == 4


def test_no_ratchet() -> None:
    """However often instances crash and come back, the next crash is treated as the first."""

    async def story(fleet: Fleet) -> None:
        for round_number in range(30):
            name = fleet.names[round_number % len(fleet.names)]
            fleet.ended.clear()
            fleet.kill(name)
            begun_s = fleet.since()
            await anyio.sleep(16)
            assert list(fleet.ended) == [name]
            assert fleet.ended[name] - begun_s <= 15.1
            fleet.heard.add(name)
            fleet.listening.add(name)
            await anyio.sleep(7)

    Fleet(6).run(story)


def test_a_crash_during_a_partition_of_others_is_dropped() -> None:
    """While half of a fleet is out of reach, a proven crash in the other half still is one."""

    async def story(fleet: Fleet) -> None:
        away = set(fleet.names[:5])
        fleet.heard -= away
        fleet.finding = Finding.UNREACHABLE
        await anyio.sleep(30)
        fleet.kill("i-9")
        await anyio.sleep(16)

    fleet = Fleet(10)
    fleet.run(story)
    assert list(fleet.ended) == ["i-9"]


def test_a_frozen_instance_is_doubted_by_its_health_check() -> None:
    """Who takes connections and does not answer is in doubt long before a long lease ends."""

    async def story(fleet: Fleet) -> None:
        fleet.finding = Finding.SILENT
        fleet.heard.discard("i-0")
        await anyio.sleep(8)
        assert fleet.health("i-0") is Health.DOUBTFUL
        assert fleet.ended == {}

    Fleet(1, CLASSIC).run(story)


def test_a_lost_instance_that_answers_again_is_back() -> None:
    """A listener that was away is shown again by the next probe, without any renewal."""

    async def story(fleet: Fleet) -> None:
        fleet.listening.discard("i-0")
        fleet.heard.discard("i-0")
        await anyio.sleep(8)
        assert fleet.health("i-0") is Health.LOST
        fleet.listening.add("i-0")
        await anyio.sleep(6)
        assert fleet.health("i-0") is Health.FRESH

    fleet = Fleet(3, CLASSIC)
    fleet.run(story)
    assert fleet.ended == {}


def test_renewing_refutes_the_probes() -> None:
    """An instance that renews though its address refuses is never lost for that again.

    From here the address means something else; only callers or the end of the lease tell.
    """

    async def story(fleet: Fleet) -> None:
        fleet.listening.discard("i-0")
        await anyio.sleep(100)
        fleet.healths.clear()
        await anyio.sleep(300)
        assert fleet.healths == []
        assert fleet.health("i-0") is Health.FRESH

    Fleet(2, CLASSIC).run(story)


def test_a_crash_just_after_registering_is_seen() -> None:
    """A long lease is looked at as soon as it begins: who was reached then is hidden in time."""

    async def story(fleet: Fleet) -> None:
        fleet.names.append("short-lived")
        fleet.listening.add("short-lived")
        fleet.register("short-lived", 2)
        await anyio.sleep(0.2)
        fleet.kill("short-lived")
        await anyio.sleep(14)
        assert fleet.health("short-lived") is Health.LOST

    Fleet(2, CLASSIC).run(story)


def test_who_registers_before_it_listens_is_not_doubted() -> None:
    """A refusal within the first second is looked at again before it counts."""

    async def story(fleet: Fleet) -> None:
        fleet.names.append("starting")
        fleet.register("starting", 2)
        await anyio.sleep(0.8)
        fleet.listening.add("starting")
        await anyio.sleep(10)
        assert [who for _, who, _ in fleet.healths] == []

    Fleet(2, CLASSIC).run(story)


def test_a_health_check_that_never_answers_says_nothing_of_who_renews() -> None:
    """A health check that is wrong or slow is no reason for doubt once the instance renewed."""

    async def story(fleet: Fleet) -> None:
        fleet.finding = Finding.SILENT
        await anyio.sleep(100)
        fleet.healths.clear()
        await anyio.sleep(200)
        assert fleet.healths == []

    Fleet(3, CLASSIC).run(story)


def test_who_was_replaced_at_its_address_is_gone() -> None:
    """Restarted all at once under other ids, at the same addresses: nobody takes the old for kept.

    What answers at their addresses are the new ones; the old ones must not keep each other alive.
    """

    async def story(fleet: Fleet) -> None:
        fleet.finding = Finding.ANSWERS
        fleet.heard.clear()
        for number in range(len(fleet.names)):
            port = Port(number=number + 1, is_enabled=True)
            fleet.registry.register(APP, instance(f"new-{number}", lease=fleet.terms, port=port))
        for _ in range(4):
            await anyio.sleep(4)
            for number in range(len(fleet.names)):
                fleet.registry.renew(APP, f"new-{number}")
        assert set(fleet.ended) == set(fleet.names)
        assert all(fleet.first(name, Health.LOST) is not None for name in fleet.names)
        assert all(not who.startswith("new") for _, who, _ in fleet.healths)

    Fleet(6).run(story)


def test_who_shares_an_address_and_renews_is_never_replaced() -> None:
    """Two that share an address (workers of one socket) both stay while both renew."""

    async def story(fleet: Fleet) -> None:
        port = Port(number=1, is_enabled=True)
        fleet.registry.register(APP, instance("twin", lease=fleet.terms, port=port))
        for _ in range(10):
            await anyio.sleep(5)
            fleet.registry.renew(APP, "twin")
        assert fleet.healths == []

    Fleet(1).run(story)


def test_an_address_that_never_answered_is_only_doubted() -> None:
    """Who was never reached from here is not hidden when a probe is refused."""

    async def story(fleet: Fleet) -> None:
        fleet.names.append("behind-nat")
        fleet.register("behind-nat", 2)
        await anyio.sleep(3)
        assert fleet.health("behind-nat") is Health.DOUBTFUL
        fleet.registry.renew(APP, "behind-nat")
        await anyio.sleep(29)
        assert fleet.health("behind-nat") is Health.FRESH

    Fleet(2, CLASSIC).run(story)


def test_callers_who_are_refused_have_it_looked_at_now() -> None:
    """One refused connection is enough to look; two refusals of the registry's own hide it."""

    async def story(fleet: Fleet) -> None:
        fleet.kill("i-0")
        await anyio.sleep(0.2)
        assert fleet.judge.take(report("i-0", calls=3, failures=3, refused=3)) == 1
        await anyio.sleep(0.6)
        assert fleet.health("i-0") is Health.LOST

    Fleet(5).run(story)


def test_callers_alone_are_enough_when_it_is_late() -> None:
    """Without probes: refused, nobody got through, and late means lost; one success refutes."""

    async def story(fleet: Fleet) -> None:
        fleet.heard -= {"i-0", "i-1"}
        await anyio.sleep(8.5)
        for name in ("i-0", "i-1"):
            fleet.judge.take(report(name, calls=5, failures=5, refused=5, window_s=0.5))
        fleet.judge.take(report("i-1", calls=1, caller="other", window_s=0.5))
        await anyio.sleep(0.1)
        assert fleet.health("i-0") is Health.LOST
        assert fleet.health("i-1") is Health.LATE

    Fleet(5, probing=False).run(story)


def test_a_pinned_instance_stays() -> None:
    """A pin keeps it through crash and end of lease; without the pin it is judged at once."""

    async def story(fleet: Fleet) -> None:
        fleet.judge.pin("ranker", "i-0")
        fleet.kill("i-0")
        await anyio.sleep(200)
        assert fleet.health("i-0") is Health.DOUBTFUL
        assert fleet.ended == {}
        fleet.judge.unpin("ranker", "i-0")
        await anyio.sleep(0.1)
        assert list(fleet.ended) == ["i-0"]

    Fleet(3).run(story)


def test_who_renews_with_a_peer_out_of_reach_is_kept() -> None:
    """A silent peer cannot tell who renews; whom it spoke for is kept, unless proven dead."""

    async def story(fleet: Fleet) -> None:
        fleet.judge.heed_peers(lambda via: via == "b")
        fleet.heard -= {"i-0", "i-1", "i-2"}
        for name in ("i-0", "i-1"):
            fleet.registry.renew(APP, name, origin=Origin.PEER, via="b")
        fleet.registry.renew(APP, "i-2", origin=Origin.PEER, via="c")
        fleet.finding = Finding.UNREACHABLE
        fleet.listening.discard("i-1")
        await anyio.sleep(20)
        assert sorted(fleet.ended) == ["i-1", "i-2"]
        assert fleet.health("i-0") is Health.DOUBTFUL

    Fleet(8).run(story)


def test_what_was_recalled_is_late_until_it_speaks() -> None:
    """After a restart everybody is there, late; who does not speak within its lease goes."""
    clock = FakeClock()
    registry = Registry(RegistrySettings(probing=False), clock)
    judge = Judge(registry, clock)
    for name in ("a", "b"):
        registry.adopt(instance(name), origin=Origin.DISK, is_recalled=True)
    assert {judge.health_of(lease) for lease in registry.leases()} == {Health.LATE}
    registry.renew(APP, "a")
    assert judge.health_of(registry.lease(APP, "a")) is Health.FRESH
    for _ in range(15):
        clock.advance(1)
        registry.renew(APP, "a")
        judge.round()
    assert [lease.info.instance_id for lease in registry.leases()] == ["a"]


@pytest.mark.slow
def test_the_work_is_bounded_by_rate() -> None:
    """A thousand long leases are looked at no more often than allowed; nobody is forgotten."""

    async def story(fleet: Fleet) -> None:
        before = fleet.probed
        await anyio.sleep(10)
        assert 480 <= fleet.probed - before <= 520
        records = [fleet.judge.record_of(lease) for lease in fleet.registry.leases()]
        assert all(record is not None and record.probes for record in records)

    Fleet(200, CLASSIC, max_probes_per_s=50, probe_every_s=1.0).run(story)


def report(name: str, *, caller: str = "g-1", window_s: float = 0.1, **counts: Any) -> CallerReport:
    """What one caller saw of one instance."""
    callee = CalleeReport(service="ranker", instance_id=name, **counts)
    key = InstanceKey(service="gateway", instance_id=caller)
    return CallerReport(caller=key, window_s=window_s, callees=[callee])
