"""Loops that are started again, and the platform's numbers as series."""

import anyio
import msgspec
import numpy as np
import pytest

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.model import SystemClock
from breakwater.server.selfwatch import SelfWatch, numbers
from breakwater.server.tasks import Loop
from breakwater.testing import FakeClock


@pytest.mark.anyio
async def test_a_loop_that_fails_is_started_again() -> None:
    """A failure is counted and makes the loop doubtful; it does not end it."""
    runs = 0
    again = anyio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ZeroDivisionError
        again.set()
        await anyio.sleep_forever()

    loop = Loop("test", work, SystemClock())
    assert not loop.is_well
    async with anyio.create_task_group() as group:
        group.start_soon(loop.run)
        with anyio.fail_after(30):
            await again.wait()
        assert loop.stats().failures == 1
        assert loop.stats().is_running
        assert not loop.is_well
        group.cancel_scope.cancel()
    assert not loop.stats().is_running


class Inner(msgspec.Struct, frozen=True):
    """A record inside a record."""

    count: int
    name: str


class Outer(msgspec.Struct, frozen=True):
    """Some room's numbers."""

    is_open: bool
    share: float
    inner: Inner
    missing: int | None = None


def test_numbers_are_found_in_nested_records() -> None:
    """Numbers and truth values have dotted names; texts and None are left out."""
    told = msgspec.to_builtins({"room": Outer(is_open=True, share=0.5, inner=Inner(3, "x"))})
    assert dict(numbers(told)) == {
        "breakwater.room.is_open": 1.0,
        "breakwater.room.share": 0.5,
        "breakwater.room.inner.count": 3.0,
    }


@pytest.mark.slow
def test_own_numbers_are_series() -> None:
    """What a room counts can be queried a step later."""
    clock = FakeClock()
    engine = MetricsEngine(MetricsSettings(), clock)
    watch = SelfWatch(lambda: {"room": Inner(7, "x")}, engine, clock)
    end_ms = clock.now_ms() // 1000 * 1000
    assert watch.write(end_ms) == 1
    answer = engine.query(
        "name,breakwater.room.count,:eq,:sum", start_ms=end_ms - 1000, end_ms=end_ms
    )
    assert answer.lines[0].values.tolist() == [7.0]
    assert np.isfinite(answer.lines[0].values).all()


def test_a_full_store_is_left_to_its_users() -> None:
    """When no series can be added, the platform's own numbers give way silently."""
    clock = FakeClock()
    engine = MetricsEngine(msgspec.structs.replace(MetricsSettings(), max_series=1), clock)
    engine.resolve({"name": "taken"})
    watch = SelfWatch(lambda: {"room": Inner(7, "x")}, engine, clock)
    assert watch.write(clock.now_ms()) == 0
