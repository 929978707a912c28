"""Rolling up goes on after a crash where it was: nothing is lost, nothing counts twice."""

import asyncio
import random
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.metrics.keeping import wait_durable
from tests.metrics.rolling import MINUTES, T0, TENS, Fleet, answer, full, tiered
from tests.metrics.rolling_child import SETTINGS, TAGS, values

from breakwater.metrics import MetricsEngine
from breakwater.testing import FakeClock

PROGRAMS = (":true,:sum", ":true,:count", ":true,:min", "name,load,:eq,:sum,(,nf.app,),:by")


def sync(engine: MetricsEngine) -> None:
    """Have everything on disk, that of the classes too."""
    wait_durable(engine)
    for each in engine._retention.classes:
        assert each.durability is not None
        asyncio.run(each.durability.wait())


def check_same(fine: MetricsEngine, coarse: MetricsEngine, clock: FakeClock) -> None:
    """Both answer the same over all there ever was."""
    window = {"start_ms": T0, "end_ms": clock.now_ms(), "step_ms": 60_000}
    for program in PROGRAMS:
        left, right = answer(coarse, program, **window), answer(fine, program, **window)
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_allclose(left[key], right[key], rtol=1e-9)


@pytest.mark.slow
def test_a_restart_goes_on_where_rolling_up_was(tmp_path: Path) -> None:
    """Classes come back with all they held, and know which steps are done."""
    clock = FakeClock(T0)
    fine, fleet = full(clock), Fleet(1, 500)
    coarse = tiered(clock, TENS, MINUTES, folder=tmp_path / "metrics")
    fleet.feed(clock, fine, coarse, first=0, last=300)
    before = [each.rollup for each in coarse.stats().classes.values()]
    coarse.close()
    coarse = tiered(clock, TENS, MINUTES, folder=tmp_path / "metrics")
    after = [each.rollup for each in coarse.stats().classes.values()]
    assert [each.until_ms for each in after] == [each.until_ms for each in before]
    assert (tmp_path / "metrics" / "class-tens-1000ms").is_dir()
    fleet.feed(clock, fine, coarse, first=300, last=500)
    check_same(fine, coarse, clock)
    assert all(each.rollup.missed_steps == 0 for each in coarse.stats().classes.values())
    coarse.close()


@pytest.mark.parametrize("stop_s", [500, 590, 700, 5000])
def test_the_end_before_a_long_stop_is_rolled_up(tmp_path: Path, stop_s: int) -> None:
    """What is forgotten at a start, for the stop was as long as the retention, is rolled up first.

    Steps in which nobody was there to send anything are not missed ones.
    """
    clock = FakeClock(T0)
    minutes = msgspec.structs.replace(MINUTES, retention_s=36_000)
    engine = tiered(clock, minutes, folder=tmp_path, retention_s=600)
    for _ in range(200):
        clock.advance(1)
        engine.write_series({"name": "m"}, clock.now_ms(), 2.0)
        engine.maintain()
    wait_durable(engine)
    engine.close()
    clock.advance(stop_s)
    engine = tiered(clock, minutes, folder=tmp_path, retention_s=600)
    for _ in range(100):
        clock.advance(1)
        engine.write_series({"name": "m"}, clock.now_ms(), 2.0)
        engine.maintain()
    found = engine.query("name,m,:eq,:sum", start_ms=T0, end_ms=T0 + 240_000, step_ms=60_000)
    assert found.lines[0].values.tolist() == [2.0, 2.0, 2.0, pytest.approx(2.0 * 20 / 60)]
    assert engine.stats().classes["minutes"].rollup.missed_steps == 0
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_crash_in_the_middle_of_a_pass_changes_nothing(tmp_path: Path, seed: int) -> None:
    """A pass that ended half way is done again, to the same values."""
    choose = random.Random(seed)
    clock = FakeClock(T0)
    fine, fleet = full(clock), Fleet(seed, 400)
    folder = tmp_path / "metrics-0"
    coarse = tiered(clock, TENS, MINUTES, folder=folder, retention_s=300)
    fed = 0
    for life in range(4):
        until = fed + choose.randrange(40, 100)
        fleet.feed(clock, fine, coarse, first=fed, last=until, maintains=False)
        fed = until
        for each in coarse._retention.classes:
            pieces = iter([False] * choose.randrange(1, 6))
            each.rollup.advance(partial(next, pieces, True))
        sync(coarse)
        crashed, folder = folder, tmp_path / f"metrics-{life + 1}"
        shutil.copytree(crashed, folder)
        coarse.close()
        coarse = tiered(clock, TENS, MINUTES, folder=folder, retention_s=300)
    fleet.feed(clock, fine, coarse, first=fed, last=400)
    check_same(fine, coarse, clock)
    coarse.close()


@pytest.mark.slow
def test_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    """Killed at any moment, again and again, classes hold what was acknowledged, once."""
    choose = random.Random(7)
    acknowledged = 0
    for _ in range(12):
        command = [sys.executable, "-m", "tests.metrics.rolling_child", tmp_path, acknowledged]
        with subprocess.Popen(
            [str(each) for each in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            until = acknowledged + choose.randrange(20, 150)
            for line in child.stdout:
                if int(line) >= until:
                    break
            child.send_signal(signal.SIGKILL)
            seen = [int(line) for line in child.stdout if line.endswith("\n")]
        acknowledged = max(seen, default=until)
    clock = FakeClock(T0 + acknowledged * 1000)
    engine = MetricsEngine(SETTINGS, clock, folder=tmp_path)
    engine.maintain()
    steps = np.array([values(step) for step in range(acknowledged + 1)])
    for label, each in engine.stats().classes.items():
        assert each.rollup.missed_steps == 0, label
        multiple = each.step_ms // 1000
        done = (each.rollup.until_ms - T0) // each.step_ms
        assert done > 5
        window = {"start_ms": T0 + each.step_ms, "end_ms": each.rollup.until_ms}
        sums = answer(engine, ":true,:sum,(,nf.app,),:by", step_ms=each.step_ms, **window)
        counts = answer(engine, ":true,:count", step_ms=each.step_ms, **window)
        for point in range(1, done):
            part = steps[point * multiple + 1 : (point + 1) * multiple + 1]
            for app in range(5):
                own = [i for i, tags in enumerate(TAGS) if tags["nf.app"] == f"app{app}"]
                expected = np.nansum(part[:, own]) / multiple
                found = sums[str([("nf.app", f"app{app}")])][point - 1]
                assert found == pytest.approx(expected, rel=1e-12), (label, point, app)
            assert counts["[]"][point - 1] == pytest.approx((~np.isnan(part)).sum() / multiple)
    engine.close()
