"""Which rules apply to this process, and which of them hit a given call."""

import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal

import msgspec

from breakwater.model import Clock, FaultRule
from breakwater.sdk.faults.burn import Burners
from breakwater.sdk.poll import LongPoll, PollStats
from breakwater.sdk.settings import Address, ServiceSettings

MAX_RULES: Final = 1_000


class CallScope(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule may ask about a call before it acts on it.

    peer: the other end of the edge. header: gives the value of a request header, None if absent.
    """

    point: Literal["inbound", "outbound"]
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
    """The rules for this process, followed by a long poll; readers see an immutable snapshot."""

    def __init__(
        self, address: Address | None, settings: ServiceSettings, *, clock: Clock, random: Random
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._burners = Burners(clock)
        self._revision = -1
        self._ignored = 0
        self._calls_hit = 0
        self._lock = threading.Lock()
        self._all: tuple[FaultRule, ...] = ()
        self.inbound: tuple[FaultRule, ...] = ()
        self.outbound: tuple[FaultRule, ...] = ()
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
        return answer.revision

    def _is_ours(self, rule: FaultRule) -> bool:
        return (
            rule.service == self._settings.service
            and rule.instance in (None, self._settings.instance)
            and rule.expires_ms > self._clock.now_ms()
        )

    def _replace(self, rules: tuple[FaultRule, ...]) -> None:
        self._all = rules
        self.inbound = tuple(rule for rule in rules if rule.point == "inbound")
        self.outbound = tuple(rule for rule in rules if rule.point == "outbound")
        self._burners.follow([rule for rule in rules if rule.point == "process"])

    def drop_expired(self) -> None:
        """Forget rules whose time is over; the agent does so each second."""
        now_ms = self._clock.now_ms()
        if any(rule.expires_ms <= now_ms for rule in self._all):
            with self._lock:
                self._replace(tuple(rule for rule in self._all if rule.expires_ms > now_ms))

    def hits(self, scope: CallScope) -> list[FaultRule]:
        """The rules that act on this call, the dice for `percent` already thrown."""
        rules = self.inbound if scope.point == "inbound" else self.outbound
        now_ms = self._clock.now_ms()
        hit = [rule for rule in rules if self._hits(rule, scope, now_ms)]
        self._calls_hit += bool(hit)
        return hit

    def _hits(self, rule: FaultRule, scope: CallScope, now_ms: int) -> bool:
        return (
            rule.expires_ms > now_ms
            and covers(rule, peer=scope.peer, endpoint=scope.endpoint, header=scope.header)
            and (rule.percent >= 100.0 or self._random.random() * 100.0 < rule.percent)
        )

    def is_active(self, rule: FaultRule) -> bool:
        """Whether the rule still holds: not expired, and not taken back by the platform."""
        return rule.expires_ms > self._clock.now_ms() and any(
            held.id == rule.id for held in self._all
        )

    def spread(self, rule: FaultRule) -> float:
        """Seconds this hit of a delay rule takes: `delay_ms` give or take `jitter_ms`."""
        jitter_ms = self._random.uniform(-rule.jitter_ms, rule.jitter_ms) if rule.jitter_ms else 0.0
        return max(0.0, rule.delay_ms + jitter_ms) / 1000.0

    def seconds_left(self, rule: FaultRule) -> float:
        """Seconds until the rule ends by itself."""
        return max(0.0, (rule.expires_ms - self._clock.now_ms()) / 1000.0)

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
