"""Which rules apply to this process, and which of them hit a given call."""

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import CALL_POINTS, CallPoint, Clock, FaultRule
from breakwater.sdk.faults.burn import Burners
from breakwater.sdk.poll import LongPoll, PollStats
from breakwater.sdk.settings import Address, ServiceSettings

if TYPE_CHECKING:
    from random import Random

MAX_RULES: Final = 1_000

CONSIDERED: Final[ContextVar[frozenset[tuple[str, str]]]] = ContextVar(
    "breakwater_faults", default=frozenset()
)
"""Rules, with the peer, that an attempt this code runs in was judged by: a client library called
within a guarded function does not throw the same dice, or wait the same delay, once more."""


class CallScope(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule may ask about a call before it acts on it.

    peer: the other end of the edge, or the name of the cache, database or queue. header: gives
    the value of a request header, None if absent.
    """

    point: CallPoint
    peer: str
    endpoint: str
    header: Callable[[str], str | None]


class FaultStats(msgspec.Struct, frozen=True, kw_only=True):
    """Rules in force, rules that made no sense, calls hit, threads burning, and the poll."""

    revision: int
    rules: int
    ignored_rules: int
    calls_hit: int
    burning_threads: int
    poll: PollStats | None


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    revision: int
    rules: list[msgspec.Raw]


class RuleBook:
    """The rules for this process, followed by a long poll; readers see an immutable snapshot.

    There is a tuple of rules for each point, by its name: where it is empty, a call has nothing to
    ask. on_change: called when they changed, under no lock.
    """

    def __init__(
        self, address: Address | None, settings: ServiceSettings, *, clock: Clock, random: "Random"
    ) -> None:
        self._settings = settings
        self.clock = clock
        self._random = random
        self._burners = Burners(clock)
        self._revision = -1
        self._ignored = 0
        self._calls_hit = 0
        self._lock = threading.Lock()
        self._all: tuple[FaultRule, ...] = ()
        self._watches: dict[object, tuple[str, Callable[[], None]]] = {}
        self.on_change: Callable[[], None] = _nobody_minds
        self.inbound: tuple[FaultRule, ...] = ()
        self.outbound: tuple[FaultRule, ...] = ()
        self.cache: tuple[FaultRule, ...] = ()
        self.database: tuple[FaultRule, ...] = ()
        self.queue: tuple[FaultRule, ...] = ()
        self.pool: tuple[FaultRule, ...] = ()
        path = f"/api/v1/faults/rules?service={settings.service}&instance={settings.instance}"
        self._poll = (
            None if address is None else LongPoll(address, path, self.accept, random=random)
        )

    def start(self) -> None:
        """Start to follow the platform's rules."""
        if self._poll is not None:
            self._poll.start()

    def stop(self) -> None:
        """Stop following, and end every injection under way."""
        if self._poll is not None:
            self._poll.stop()
        with self._lock:
            self._replace(())
        self.on_change()

    def accept(self, body: bytes) -> int:
        """Take in one answer (FaultRules JSON) and return its revision.

        A rule that this version does not understand is counted and otherwise means nothing; an
        answer that is no answer raises msgspec.DecodeError, and the rules stay as they are.
        """
        answer = _ANSWER.decode(body)
        rules: list[FaultRule] = []
        self._ignored = max(0, len(answer.rules) - MAX_RULES)
        for raw in answer.rules[:MAX_RULES]:
            try:
                rules.append(_RULE.decode(raw))
            except msgspec.DecodeError:
                self._ignored += 1
        with self._lock:
            self._revision = answer.revision
            self._replace(tuple(rule for rule in rules if self._is_ours(rule)))
        self.on_change()
        return answer.revision

    def _is_ours(self, rule: FaultRule) -> bool:
        return (
            rule.service == self._settings.service
            and rule.instance in (None, self._settings.instance)
            and rule.expires_ms > self.clock.now_ms()
        )

    def _replace(self, rules: tuple[FaultRule, ...]) -> None:
        self._all = rules
        for point in CALL_POINTS:
            setattr(self, point, tuple(rule for rule in rules if rule.point == point))
        self._burners.follow([rule for rule in rules if rule.point == "process"])
        held = {rule.id for rule in rules}
        for rule_id, wake in tuple(self._watches.values()):
            if rule_id not in held:
                wake()

    def drop_expired(self) -> None:
        """Forget rules whose time is over; the agent does so each second."""
        now_ms = self.clock.now_ms()
        if any(rule.expires_ms <= now_ms for rule in self._all):
            with self._lock:
                self._replace(tuple(rule for rule in self._all if rule.expires_ms > now_ms))
            self.on_change()

    def at(self, point: CallPoint) -> tuple[FaultRule, ...]:
        """The rules in force at one point."""
        rules: tuple[FaultRule, ...] = getattr(self, point)
        return rules

    def hits(self, scope: CallScope) -> list[FaultRule]:
        """The rules that act on this call, the dice for `percent` already thrown."""
        now_ms = self.clock.now_ms()
        hit = [rule for rule in self.at(scope.point) if self._hits(rule, scope, now_ms)]
        self._calls_hit += bool(hit)
        return hit

    def _hits(self, rule: FaultRule, scope: CallScope, now_ms: int) -> bool:
        return (
            rule.expires_ms > now_ms
            and covers(rule, peer=scope.peer, endpoint=scope.endpoint, header=scope.header)
            and (rule.id, scope.peer) not in CONSIDERED.get()
            and (rule.percent >= 100.0 or self._random.random() * 100.0 < rule.percent)
        )

    def is_active(self, rule: FaultRule) -> bool:
        """Whether the rule still holds: not expired, and not taken back by the platform."""
        return rule.expires_ms > self.clock.now_ms() and any(
            held.id == rule.id for held in self._all
        )

    def watch(self, rule: FaultRule, wake: Callable[[], None]) -> object:
        """Have `wake` called (from any thread) when the rule is no longer held; see `unwatch`.

        It may be called before this returns, and more than once.
        """
        key = object()
        with self._lock:
            self._watches[key] = (rule.id, wake)
        if not self.is_active(rule):
            wake()
        return key

    def unwatch(self, key: object) -> None:
        """The wait is over, in whatever way."""
        with self._lock:
            self._watches.pop(key, None)

    def spread(self, rule: FaultRule) -> float:
        """Seconds this hit of a delay rule takes: `delay_ms` give or take `jitter_ms`."""
        jitter_ms = self._random.uniform(-rule.jitter_ms, rule.jitter_ms) if rule.jitter_ms else 0.0
        return max(0.0, rule.delay_ms + jitter_ms) / 1000.0

    def seconds_left(self, rule: FaultRule) -> float:
        """Seconds until the rule ends by itself."""
        return max(0.0, (rule.expires_ms - self.clock.now_ms()) / 1000.0)

    def stats(self) -> FaultStats:
        """What is in force, and what it did."""
        return FaultStats(
            revision=self._revision,
            rules=len(self._all),
            ignored_rules=self._ignored,
            calls_hit=self._calls_hit,
            burning_threads=self._burners.count(),
            poll=None if self._poll is None else self._poll.stats(),
        )


def _nobody_minds() -> None:
    """No guard asked to be told."""


def covers(
    rule: FaultRule, *, peer: str, endpoint: str, header: Callable[[str], str | None]
) -> bool:
    """Whether a call lies in the scope of the rule: peer, endpoint and all headers agree."""
    return (
        rule.peer in (None, peer)
        and rule.endpoint in (None, endpoint)
        and all(header(name) == value for name, value in rule.headers.items())
    )


def header_of(headers: Mapping[str, str]) -> Callable[[str], str | None]:
    """A look-up in `headers` that does not mind the case of names."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return lambda name: lowered.get(name.lower())


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_RULE: Final = msgspec.json.Decoder(FaultRule)
