"""How long to wait between attempts: strategies asked after each failed one, combined by `+`.

Random waits are drawn from the randomness of the registry that retries, so a seeded one replays.
"""
# ruff: noqa: N801, A002, D102 - the library's names; what `__call__` does, the class says

import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import Final

from breakwater.sdk.shims.tenacity.calls import RetryCallState
from breakwater.sdk.shims.tenacity.stop import TimeUnit, seconds_of

WaitBaseT = Callable[[RetryCallState], float]

MAX_WAIT: Final = sys.maxsize / 2
_own_random: Final = Random()  # noqa: S311 - spreads load, guards no secret


def _random_of(retry_state: RetryCallState) -> Random:
    """What this call draws from; a state made by hand has none of its own."""
    random = getattr(getattr(retry_state, "retry_object", None), "random", None)
    return random if isinstance(random, Random) else _own_random


class wait_base(ABC):
    """What all strategies have in common."""

    @abstractmethod
    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds until the next attempt."""

    def __add__(self, other: WaitBaseT) -> "wait_combine":
        return wait_combine(self, other)

    def __radd__(self, other: WaitBaseT | int) -> "wait_base":
        if isinstance(other, int):
            return self if other == 0 else NotImplemented  # `sum` starts with 0
        return wait_combine(self, other)


class wait_fixed(wait_base):
    """Always as long."""

    def __init__(self, wait: TimeUnit) -> None:
        self.wait_fixed = seconds_of(wait)

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - asked like the others
        return self.wait_fixed


class wait_none(wait_fixed):
    """Not at all."""

    def __init__(self) -> None:
        super().__init__(0)


class wait_random(wait_base):
    """Between `min` and `max`, all equally likely."""

    def __init__(self, min: TimeUnit = 0, max: TimeUnit = 1) -> None:
        self.wait_random_min = seconds_of(min)
        self.wait_random_max = seconds_of(max)

    def __call__(self, retry_state: RetryCallState) -> float:
        share = _random_of(retry_state).random()
        return self.wait_random_min + share * (self.wait_random_max - self.wait_random_min)


class wait_combine(wait_base):
    """As long as all of them together."""

    def __init__(self, *strategies: WaitBaseT) -> None:
        self.wait_funcs = strategies

    def __call__(self, retry_state: RetryCallState) -> float:
        return float(sum(wait(retry_state) for wait in self.wait_funcs))


class wait_chain(wait_base):
    """One after the other, an attempt each, and the last one from then on."""

    def __init__(self, *strategies: WaitBaseT) -> None:
        if not strategies:
            raise ValueError("wait_chain() requires at least one strategy")
        self.strategies = strategies

    def __call__(self, retry_state: RetryCallState) -> float:
        place = min(max(retry_state.attempt_number, 1), len(self.strategies))
        return self.strategies[place - 1](retry_state)


class wait_exception(wait_base):
    """As long as a function of the error says."""

    def __init__(self, predicate: Callable[[BaseException], float]) -> None:
        self.predicate = predicate

    def __call__(self, retry_state: RetryCallState) -> float:
        error = None if retry_state.outcome is None else retry_state.outcome.exception()
        if error is None:
            raise RuntimeError("wait_exception is asked after an attempt that raised nothing")
        return self.predicate(error)


class wait_incrementing(wait_base):
    """Longer by `increment` each time."""

    def __init__(
        self, start: TimeUnit = 0, increment: TimeUnit = 100, max: TimeUnit = MAX_WAIT
    ) -> None:
        self.start = seconds_of(start)
        self.increment = seconds_of(increment)
        self.max = seconds_of(max)

    def __call__(self, retry_state: RetryCallState) -> float:
        wait_s = self.start + self.increment * (retry_state.attempt_number - 1)
        return max(0.0, min(wait_s, self.max))


def _power(multiplier: float, base: float, exponent: int, otherwise: float) -> float:
    """`multiplier` * `base` ** `exponent`; `otherwise` where no float can hold it."""
    try:
        return multiplier * float(base) ** exponent
    except OverflowError:
        return otherwise


class wait_exponential(wait_base):
    """`multiplier` * `exp_base` ** (attempt - 1), within `min` and `max`."""

    def __init__(
        self,
        multiplier: float = 1,
        max: TimeUnit = MAX_WAIT,
        exp_base: float = 2,
        min: TimeUnit = 0,
    ) -> None:
        self.multiplier = multiplier
        self.min = seconds_of(min)
        self.max = seconds_of(max)
        self.exp_base = exp_base

    def __call__(self, retry_state: RetryCallState) -> float:
        wait_s = _power(self.multiplier, self.exp_base, retry_state.attempt_number - 1, self.max)
        return max(0.0, self.min, min(wait_s, self.max))


class wait_random_exponential(wait_exponential):
    """Between `min` and what `wait_exponential` would wait: exponential with full jitter."""

    def __call__(self, retry_state: RetryCallState) -> float:
        return _random_of(retry_state).uniform(self.min, super().__call__(retry_state))


class wait_exponential_jitter(wait_base):
    """As `wait_exponential`, and up to `jitter` longer, within `min` and `max`."""

    def __init__(  # noqa: PLR0917 - the library's signature
        self,
        initial: float = 1,
        max: TimeUnit = MAX_WAIT,
        exp_base: float = 2,
        jitter: TimeUnit = 1,
        min: TimeUnit = 0,
        multiplier: float = 1,
    ) -> None:
        if initial != 1 and multiplier != 1:
            raise ValueError("give 'multiplier' or its older name 'initial', not both")
        if initial != 1:
            message = "The 'initial' parameter is deprecated, use 'multiplier' instead"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            multiplier = initial
        self.multiplier = multiplier
        self.max = seconds_of(max)
        self.exp_base = exp_base
        self.jitter = seconds_of(jitter)
        self.min = seconds_of(min)

    def __call__(self, retry_state: RetryCallState) -> float:
        jitter_s = _random_of(retry_state).uniform(0, self.jitter)
        wait_s = _power(self.multiplier, self.exp_base, retry_state.attempt_number - 1, self.max)
        return max(0.0, self.min, min(wait_s + jitter_s, self.max))
