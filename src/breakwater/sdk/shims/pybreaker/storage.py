"""Where the state is kept: in memory, by the guard's own breaker. Breakers may share one.

The state of another process cannot be kept here (see the head of the package), so there is nothing
to store; the classes are there for programs that name them.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from weakref import WeakSet

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.reports import BreakerEvent
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState, CallRefused, Kind, StateChanged
from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.guard.hooks import Hooks
from breakwater.sdk.guard.verdict import Verdict
from breakwater.sdk.shims.pybreaker.states import WORD_OF, state_of

LEASE_S: Final = 60.0
"""A trial call that does not end within it loses its say, and another one may go."""

Follower = Callable[[BreakerState, BreakerState], None]


class Trials:
    """What a breaker is configured with, in the library's terms."""

    __slots__ = ("fail_max", "reset_timeout", "success_threshold")

    def __init__(self, fail_max: int, reset_timeout: float, success_threshold: int) -> None:
        self.fail_max = fail_max
        self.reset_timeout = reset_timeout
        self.success_threshold = success_threshold

    def config(self) -> BreakerConfig:
        """The same in the guard's terms: so many in a row, and any failed trial opens it again."""
        open_s = max(self.reset_timeout, 1e-9)
        return BreakerConfig(
            window="consecutive",
            window_calls=max(1, self.fail_max),
            failure_percent=1e-6,
            open_s=open_s,
            max_open_s=open_s,
            half_open_permits=max(1, self.success_threshold),
            probe_lease_s=LEASE_S,
            honour_retry_after=False,
        )


class CircuitBreakerStorage:
    """What is asked of a storage; only `CircuitMemoryStorage` can be used."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """What kind of storage it is."""
        return self._name


class CircuitMemoryStorage(CircuitBreakerStorage):
    """The state of one breaker, or of several that are given the same storage.

    counter: failures in a row. success_counter: trial calls that succeeded in this round.
    opened_at: wall time of the latest opening.
    """

    def __init__(self, state: str) -> None:
        super().__init__("memory")
        self._initial = state_of(state)
        self.counter = 0
        self.success_counter = 0
        self.opened_at: datetime | None = None
        self._guards: Guards | None = None
        self._machine: Breaker | None = None
        self._circuits: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._bridge: BreakerState | None = None

    def join(self, circuit: Any, trials: Trials, guards: Guards) -> Breaker:
        """Tell `circuit` of changes; the first to join says what the breaker goes by."""
        with self._lock:
            self._circuits.add(circuit)
            if self._machine is None:
                self._guards = guards
                self._machine = Breaker(
                    trials.config(), random=guards.shared.random.random, listener=self._on_event
                )
                if self._initial is not BreakerState.CLOSED:
                    self._start(self._machine, guards.shared.now_s())
            return self._machine

    def _start(self, machine: Breaker, now_s: float) -> None:
        """Begin open, as somebody else left it, with its time over; or half open."""
        circuits, self._circuits = self._circuits, WeakSet()
        machine.transition_to(BreakerState.OPEN, now_s, for_s=0.0)
        if self._initial is BreakerState.HALF_OPEN:
            machine.transition_to(BreakerState.HALF_OPEN, now_s)
        self._circuits = circuits
        self.opened_at = None

    @property
    def state(self) -> str:
        """The name of the state."""
        machine = self._machine
        return WORD_OF[self._initial if machine is None else machine.state]

    @state.setter
    def state(self, state: str) -> None:
        wanted = state_of(state)
        if self._machine is None:
            self._initial = wanted
        else:
            self.order(wanted)

    def order(self, wanted: BreakerState) -> None:
        """Go into this state, and say so even if it is the present one."""
        machine, guards = self._machine, self._guards
        assert machine is not None, "joined before"
        assert guards is not None, "joined before"
        before, now_s = machine.state, guards.shared.now_s()
        if before is BreakerState.CLOSED and wanted is BreakerState.HALF_OPEN:
            self._bridge = before  # the guard goes there by way of open, which is nobody's business
            machine.transition_to(BreakerState.OPEN, now_s)
        machine.transition_to(wanted, now_s)
        if before is wanted:
            self._changed(before, wanted)

    def count_failure(self) -> None:
        """One more failure in a row."""
        with self._lock:
            self.counter += 1

    def note_run(self) -> None:
        """The breaker holds a failure that a success on another thread may just have uncounted.

        Successes end a run only where one is counted, so it must not be forgotten.
        """
        with self._lock:
            self.counter = max(self.counter, 1)

    def count_success(self, *, is_trial: bool) -> None:
        """The run of failures is over; a trial call brings the breaker nearer to closing."""
        with self._lock:
            self.counter = 0
            self.success_counter += is_trial

    def configure(self, trials: Trials) -> None:
        """Go by other numbers; failures in a row stay counted."""
        machine, guards = self._machine, self._guards
        assert machine is not None, "joined before"
        assert guards is not None, "joined before"
        now_s = guards.shared.now_s()
        machine.configure(trials.config(), now_s)
        permit = machine.closed_permit
        if permit is None or machine.stats().window_failures:
            return
        for _ in range(min(self.counter, trials.fail_max - 1)):
            machine.settle(permit, Verdict.FAILURE, now_s)

    def _on_event(self, event: BreakerEvent) -> None:
        if event.kind is not Kind.STATE:
            return
        old, bridge = event.old, self._bridge
        if bridge is not None and event.reason == "operator":
            if event.state is BreakerState.OPEN:
                return
            old, self._bridge = bridge, None
        self._changed(old, event.state)
        stamp = self._stamp(Kind.STATE)
        if stamp is not None:
            now = StateChanged(**stamp, old=old, state=event.state, reason=event.reason)
            self._hooks().tell(now)

    def _changed(self, old: BreakerState, new: BreakerState) -> None:
        self.success_counter = 0
        if new is BreakerState.CLOSED:
            self.counter = 0
        elif new is BreakerState.OPEN and self._guards is not None:
            now_ms = self._guards.shared.clock.now_ms()
            self.opened_at = datetime.fromtimestamp(now_ms / 1000.0, tz=UTC)
        for circuit in tuple(self._circuits):
            circuit.state_changed(old, new)

    def refused(self, reason: str) -> None:
        """A call was refused."""
        stamp = self._stamp(Kind.REFUSED)
        if stamp is not None:
            self._hooks().tell(CallRefused(**stamp, reason=reason))

    def _hooks(self) -> Hooks:
        assert self._guards is not None, "joined before"
        return self._guards.hooks

    def _stamp(self, kind: Kind) -> dict[str, Any] | None:
        """What all events say, None if no hook of the registry wants this kind."""
        guards = self._guards
        if guards is None or kind not in guards.hooks.wanted:
            return None
        names = sorted(circuit.name or "" for circuit in self._circuits)
        name = names[0] if names else ""
        return {"command": name, "group": name, "at_ms": guards.shared.clock.now_ms()}


class CircuitRedisStorage(CircuitBreakerStorage):
    """Not here: one process's trouble with a dependency is not every process's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - whatever is given
        refuse_storage(self)


def refuse_storage(storage: object) -> NoReturn:
    """Raise SettingsError: the state is the process's own."""
    raise SettingsError(
        f"state_storage is a {type(storage).__name__}; only CircuitMemoryStorage is allowed, "
        "because each process judges by its own calls"
    )
