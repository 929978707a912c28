"""A retry budget: how many extra calls one dependency is given, over all its callers here.

Retries help against faults that are few and short; when everything fails they only multiply the
load. A budget makes their number follow the successes (gRPC, AWS) or the calls under way (Envoy),
so that at 100 % failure hardly any is left. It belongs to the dependency, not to the command, for
the callee does not care which of our functions hammers it.

Three arithmetics, number for number:

`grpc` (proposal A6): tokens in thousandths from 0 to `tokens`, full at first. A failed attempt
takes 1, a success brings `ratio`; retries are made only while more than half are left.

`envoy` (`retry_budget`): at most max(`minimum`, `percent` of the calls under way) retries under
way at once.

`aws` (SDK standard mode): a retry costs `cost`, `timeout_cost` after a timeout, `throttle_cost`
after a refusal for overload; a retry that succeeds brings its cost back, a success at the first
attempt 1. `aws_standard` and `aws_2026` are its two sets of numbers.

Sources: gRPC proposal A6; Envoy's `cluster.CircuitBreakers.Thresholds.RetryBudget`; the AWS SDKs'
reference guide, "Retry behavior".
"""

import threading
from typing import Final, Literal, Protocol
from weakref import WeakSet, WeakValueDictionary

import msgspec

from breakwater.sdk.guard.config import BudgetConfig

Cause = Literal["transient", "timeout", "throttled"]
"""Why a retry is wanted; the AWS arithmetic prices them apart."""

_MILLI: Final = 1000


def aws_standard() -> BudgetConfig:
    """The AWS SDKs' numbers up to 2026: 500 tokens, 5 a retry, 10 after a timeout."""
    return BudgetConfig(mode="aws", tokens=500.0, cost=5.0, timeout_cost=10.0, throttle_cost=5.0)


def aws_2026() -> BudgetConfig:
    """The numbers of `AWS_NEW_RETRIES_2026`: 14 a retry, 5 where the callee asked for patience."""
    return BudgetConfig(mode="aws", tokens=500.0, cost=14.0, timeout_cost=14.0, throttle_cost=5.0)


class InFlight(Protocol):
    """Whoever makes calls to the dependency; the Envoy arithmetic asks how many are under way."""

    def in_flight(self) -> int:
        """Calls under way or waiting for a place."""
        ...


class Token:
    """Leave for one retry; ends with `settle` or `give_back`, exactly once."""

    __slots__ = ("cost", "is_out", "rule")

    def __init__(self, rule: "_Rule", cost: int) -> None:
        self.rule = rule
        self.cost = cost
        self.is_out = True


class BudgetStats(msgspec.Struct, frozen=True, kw_only=True):
    """What is left and what was done.

    level of capacity: tokens (for `envoy`, retries under way of those last allowed). spent:
    retries allowed; refused: not allowed; given_back: allowed and then not made.
    """

    dependency: str
    mode: str
    level: float
    capacity: float
    spent: int
    refused: int
    given_back: int


class Budget:
    """The budget of one dependency, for any number of threads; made by `Budgets.of`.

    Successes need not be told one by one: `on_successes(n)` credits as many as happened since the
    last time, which is the same as one by one if it is called before `on_failure`.
    """

    def __init__(self, dependency: str, config: BudgetConfig) -> None:
        self.dependency = dependency
        self.config = config
        self._rule = _RULES[config.mode](config)
        self._lock = threading.RLock()
        self._sources: WeakSet[InFlight] = WeakSet()
        self._spent = self._refused = self._given_back = 0

    def configure(self, config: BudgetConfig) -> None:
        """Go on by other numbers, as full in proportion as before if the arithmetic is the same."""
        with self._lock:
            if config == self.config:
                return
            if config.mode == self.config.mode:
                self._rule.configure(config)
            else:
                self._rule = _RULES[config.mode](config)
            self.config = config

    def add_source(self, source: InFlight) -> None:
        """Count the calls of `source` as calls to this dependency, for as long as it lives."""
        with self._lock:
            self._sources.add(source)

    def on_successes(self, count: int = 1, *, first_tries: int | None = None) -> None:
        """Credit `count` calls that succeeded, `first_tries` of them at once (None: all)."""
        with self._lock:
            self._rule.successes(count, count if first_tries is None else first_tries)

    def on_failure(self) -> None:
        """An attempt failed in a way that is worth a retry, whether or not one is made."""
        with self._lock:
            self._rule.failure()

    def try_spend(self, cause: Cause = "transient") -> Token | None:
        """Leave for one retry, None if the budget does not allow it."""
        under_way = self._under_way() if self.config.mode == "envoy" else 0
        with self._lock:
            cost = self._rule.spend(cause, under_way)
            if cost is None:
                self._refused += 1
                return None
            self._spent += 1
            return Token(self._rule, cost)

    def settle(self, token: Token, *, succeeded: bool) -> None:
        """The retry was made and ended; a second time for one token is ignored."""
        with self._lock:
            if token.is_out:
                token.is_out = False
                token.rule.settle(token.cost, succeeded=succeeded)

    def give_back(self, token: Token) -> None:
        """The retry was not made after all."""
        with self._lock:
            if token.is_out:
                token.is_out = False
                token.rule.give_back(token.cost)
                self._given_back += 1

    def _under_way(self) -> int:
        with self._lock:
            sources = list(self._sources)
        return sum(source.in_flight() for source in sources)

    def stats(self) -> BudgetStats:
        """What is left and what was done."""
        with self._lock:
            rule = self._rule
            return BudgetStats(
                dependency=self.dependency,
                mode=self.config.mode,
                level=rule.level / _MILLI,
                capacity=rule.capacity / _MILLI,
                spent=self._spent,
                refused=self._refused,
                given_back=self._given_back,
            )


class BudgetsStats(msgspec.Struct, frozen=True, kw_only=True):
    """All budgets that some command holds."""

    budgets: list[BudgetStats]


class Budgets:
    """The budgets of a process by dependency; one lives as long as some command holds it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._budgets: WeakValueDictionary[str, Budget] = WeakValueDictionary()

    def of(self, dependency: str, config: BudgetConfig) -> Budget:
        """The one budget of `dependency`; of two configurations the later holds for both."""
        with self._lock:
            budget = self._budgets.get(dependency)
            if budget is None:
                budget = self._budgets[dependency] = Budget(dependency, config)
        budget.configure(config)
        return budget

    def stats(self) -> BudgetsStats:
        """All budgets, by name of the dependency."""
        with self._lock:
            budgets = sorted(self._budgets.values(), key=lambda budget: budget.dependency)
        return BudgetsStats(budgets=[budget.stats() for budget in budgets])


class _Rule:
    """One arithmetic, in thousandths of a token; always called under the budget's lock.

    This one is `none`: every retry is allowed.
    """

    __slots__ = ("capacity", "config", "level")

    def __init__(self, config: BudgetConfig) -> None:
        self.config = config
        self.level = self.capacity = self._full()

    def configure(self, config: BudgetConfig) -> None:
        """Other numbers, as full in proportion as before."""
        before, self.config = self.capacity, config
        self.capacity = self._full()
        self.level = round(self.level * self.capacity / before) if before else self.capacity

    def _full(self) -> int:
        return round(self.config.tokens * _MILLI)

    def successes(self, count: int, first_tries: int) -> None:
        """Credit successes."""

    def failure(self) -> None:
        """Debit a failed attempt."""

    def spend(self, cause: Cause, under_way: int) -> int | None:
        """The cost taken for a retry, None if it is not allowed."""
        del cause, under_way
        return 0

    def settle(self, cost: int, *, succeeded: bool) -> None:
        """A retry ended."""

    def give_back(self, cost: int) -> None:
        """A retry was not made."""
        self.settle(cost, succeeded=True)


class _GrpcRule(_Rule):
    __slots__ = ()

    def successes(self, count: int, first_tries: int) -> None:
        del first_tries
        gained = count * round(self.config.ratio * _MILLI)
        self.level = min(self.capacity, self.level + gained)

    def failure(self) -> None:
        self.level = max(0, self.level - _MILLI)

    def spend(self, cause: Cause, under_way: int) -> int | None:
        del cause, under_way
        return 0 if self.level * 2 > self.capacity else None


class _EnvoyRule(_Rule):
    """`level` counts retries under way, up to `capacity`, which moves with the calls."""

    __slots__ = ()

    def configure(self, config: BudgetConfig) -> None:
        self.config = config

    def _full(self) -> int:
        return 0

    def spend(self, cause: Cause, under_way: int) -> int | None:
        del cause
        share = int(under_way * self.config.percent / 100.0)
        self.capacity = max(self.config.minimum, share) * _MILLI
        if self.level >= self.capacity:
            return None
        self.level += _MILLI
        return _MILLI

    def settle(self, cost: int, *, succeeded: bool) -> None:
        del succeeded
        self.level = max(0, self.level - cost)


class _AwsRule(_Rule):
    __slots__ = ()

    def successes(self, count: int, first_tries: int) -> None:
        del count
        self.level = min(self.capacity, self.level + first_tries * _MILLI)

    def spend(self, cause: Cause, under_way: int) -> int | None:
        del under_way
        cost: int = round(getattr(self.config, _PRICES[cause]) * _MILLI)
        if cost > self.level:
            return None
        self.level -= cost
        return cost

    def settle(self, cost: int, *, succeeded: bool) -> None:
        if succeeded:
            self.level = min(self.capacity, self.level + cost)


_PRICES: Final[dict[Cause, str]] = {
    "transient": "cost",
    "timeout": "timeout_cost",
    "throttled": "throttle_cost",
}
_RULES: Final[dict[str, type[_Rule]]] = {
    "none": _Rule,
    "grpc": _GrpcRule,
    "envoy": _EnvoyRule,
    "aws": _AwsRule,
}
