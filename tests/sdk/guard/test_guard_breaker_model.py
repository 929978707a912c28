"""The breaker beside a model in plain words, through random interleavings of all that can happen.

Callers that end late, hang, crash or are cancelled; orders of an operator; swaps of configuration;
time that jumps; clocks read a moment before another thread's. Whatever happens, both are in the
same state for the same time, and the breaker is never stuck in one.
"""

from random import Random
from typing import Final

import pytest
from tests.sdk.guard.breaking import Model, Out

from breakwater.sdk.errors import IllegalTransitionError
from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.probes import Permit
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.verdict import Verdict

VERDICTS: Final = (
    *(Verdict.SUCCESS,) * 4,
    *(Verdict.FAILURE,) * 4,
    Verdict.TIMEOUT,
    Verdict.IGNORED,
    Verdict.CANCELLED,
    Verdict.NOT_TRIED,
)
JUMPS_S: Final = (0.0, 0.125, 0.25, 0.25, 0.5, 1.0, 2.0, 3.0, 8.0, 40.0)
ORDERS: Final = tuple(BreakerState)


def drawn_config(random: Random) -> BreakerConfig:
    """Any small configuration that can be had."""
    pick = random.choice
    return BreakerConfig(
        mode=pick(("enabled",) * 28 + ("disabled", "forced_open", "forced_closed", "metrics_only")),
        window=pick(("time", "count", "consecutive")),
        window_s=pick((1.0, 2.0, 4.0)),
        buckets=pick((2, 4)),
        window_calls=pick((1, 2, 3, 5)),
        minimum_calls=pick((1, 2, 3, 4)),
        failure_percent=pick((1.0, 33.0, 50.0, 66.5, 100.0)),
        slow_call_s=pick((None, None, 1.0)),
        slow_percent=pick((40.0, 100.0)),
        whole_percent=pick((False, True)),
        counts_rejections=pick((False, True)),
        judge=pick(("each_call", "interval")),
        judge_every_s=pick((0.25, 0.5)),
        open_s=pick((0.5, 2.0)),
        open_factor=pick((1.0, 2.0)),
        max_open_s=pick((1.0, 6.0)),
        honour_retry_after=pick((False, True)),
        retry_after_opens=pick((False, False, True)),
        automatic_half_open=pick((False, True)),
        half_open_permits=pick((1, 2, 3)),
        decides_early=pick((False, True)),
        probe_lease_s=pick((0.5, 3.0)),
        max_half_open_s=pick((0.0, 0.0, 1.5)),
        undecided_goes_to=pick(("open", "closed")),
        ramp_s=pick((0.0, 0.0, 2.0)),
    )


POOL: Final = tuple(drawn_config(Random(seed)) for seed in range(600))


class Interleaving:
    """One breaker, its model, and the callers under way."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now_s = 1000.0
        config = random.choice(POOL)
        self.breaker = Breaker(config, random=lambda: 0.5)
        self.model = Model(config)
        self.out: list[tuple[Permit, Out]] = []

    def step(self) -> None:
        """One thing that happens, by chance, and then the comparison."""
        draw = self.random.random()
        if draw < 0.36:
            self.ask()
        elif draw < 0.75:
            self.end()
        elif draw < 0.93:
            self.now_s += self.random.choice(JUMPS_S)
        elif draw < 0.96:
            self.breaker.tick(self.now_s)
            self.model.advance(self.now_s)
        elif draw < 0.985:
            self.configure()
        else:
            self.order()
        self.compare()

    def ask(self) -> None:
        """A caller asks for leave."""
        permit = self.breaker.admit(self.now_s)
        out = self.model.admit(self.now_s)
        assert (permit is None) == (out is None), "admitted by one, refused by the other"
        if permit is not None and out is not None:
            self.out.append((permit, out))

    def end(self) -> None:
        """Some call under way ends, is cancelled, or is never heard of again."""
        if not self.out:
            return
        permit, out = self.out.pop(self.random.randrange(len(self.out)))
        how = self.random.random()
        if how < 0.08:
            return  # it crashed with its thread, or hangs for ever
        if how < 0.16:
            self.breaker.release(permit)
            self.model.release(out)
            return
        verdict = self.random.choice(VERDICTS)
        took_s = self.random.choice((0.0, 1.0, 1.5))
        told_s = self.random.choice((None, None, None, 0.5, 4.0, 900.0))
        at_s = self.now_s
        if how > 0.95 and self.model.config.judge == "each_call":
            at_s -= 0.25  # this thread read the clock a moment before another that came first
        for _ in range(2 if how < 0.2 and out.is_probe else 1):  # a probe that reports twice
            self.breaker.settle(permit, verdict, at_s, took_s, told_s)
            self.model.settle(out, verdict, at_s, took_s, told_s)

    def configure(self) -> None:
        """The configuration is swapped for any other."""
        config = self.random.choice(POOL)
        self.breaker.configure(config, self.now_s)
        self.model.configure(config, self.now_s)

    def order(self) -> None:
        """An operator orders a state, legal or not."""
        state = self.random.choice(ORDERS)
        is_legal = self.model.order(state, self.now_s)
        try:
            self.breaker.transition_to(state, self.now_s)
        except IllegalTransitionError:
            assert not is_legal
        else:
            assert is_legal

    def compare(self) -> None:
        """Both are in the same state for the same time, with the same probes out."""
        breaker, model = self.breaker, self.model
        assert breaker.state is model.state
        assert breaker._opening == model.opening
        if breaker.state is BreakerState.OPEN:
            assert breaker._reopens_s == model.reopens_s
        window = breaker._window
        is_counting = breaker._permit is not None and breaker.state is not BreakerState.DISABLED
        if is_counting and getattr(window, "tick", model.tick) == model.tick:
            assert window.failed == model.failures()
        if breaker._round is not None:
            assert breaker._round.out == len(model.probes)
            assert breaker._round.out <= breaker.config.half_open_permits

    def recover(self) -> None:
        """With a callee that answers and time that passes, it closes, wherever it was."""
        breaker = self.breaker
        if breaker.config.mode != "enabled":
            breaker.configure(BreakerConfig(), self.now_s)
        elif breaker.state not in (BreakerState.OPEN, BreakerState.HALF_OPEN):
            return
        for _ in range(200):
            if breaker.state is BreakerState.CLOSED:
                return
            self.now_s += 0.45
            permit = breaker.admit(self.now_s)
            if permit is not None:
                breaker.settle(permit, Verdict.SUCCESS, self.now_s)
        raise AssertionError("it stuck")


def run(seed: int, steps: int) -> None:
    """One interleaving from one seed."""
    interleaving = Interleaving(Random(seed))
    try:
        for _ in range(steps):
            interleaving.step()
        interleaving.recover()
    except AssertionError as error:
        error.add_note(f"seed {seed}, {steps} steps")
        raise


def test_every_long_interleaving_agrees_with_the_model() -> None:
    """A hundred steps lead through all states many times."""
    for seed in range(150):
        run(seed, 100)


@pytest.mark.slow
def test_a_hundred_thousand_interleavings_agree_with_the_model() -> None:
    """Nothing sticks, nothing moves wrongly, and no probe too many goes out."""
    for seed in range(100_000):
        run(seed, 12)
