"""What was recorded is there after a restart, and goes on as if there had been none."""

import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.keeping import T0, Contents, contents, crash_image, opened, wait_durable
from tests.metrics.recording_child import BATCHES, SERIES, SETTINGS, batch, kind, send, tags
from tests.metrics.updating import Oracle, Slots, Update

from breakwater.metrics import MetricsEngine
from breakwater.metrics.durable.files import numbers
from breakwater.metrics.durable.records import Frames
from breakwater.metrics.normalize.standing import EXTRAS, Standing, decode_standing, encode_standing
from breakwater.testing import FakeClock

GRID = f"1000ms-{SETTINGS.block_slots}"


def slots(held: Contents) -> list[Slots]:
    """What an engine holds, by series."""
    return [held.get(tuple(sorted(tags(series).items())), {}) for series in range(SERIES)]


def oracle(last: int) -> Oracle:
    """What the model says of the first batches."""
    found = Oracle([kind(series) for series in range(SERIES)], SETTINGS.step_ms)
    for number in range(1, last + 1):
        found.take(batch(number))
    return found


def snapshot(engine: MetricsEngine) -> None:
    """Take a snapshot now."""
    durability = engine._durability
    assert durability is not None
    with durability._turn:
        durability._take_snapshot()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_restarts_change_nothing(tmp_path: Path, seed: int) -> None:
    """Crashed and started again at random moments, every series has the numbers of the model."""
    choose = random.Random(seed)
    clock = FakeClock(T0)
    engine = opened(tmp_path / "0", clock, SETTINGS)
    folder = tmp_path / "0"
    for number in range(1, 61):
        clock.advance(1)
        send(engine, batch(number))
        if choose.random() < 0.1:
            snapshot(engine)
        if choose.random() < 0.15:
            image = crash_image(engine, folder, tmp_path / str(number))
            engine.close()
            folder = image
            engine = opened(folder, clock, SETTINGS)
    assert slots(contents(engine)) == oracle(60).slots
    engine.close()


def test_a_clean_end_keeps_where_series_stand(tmp_path: Path) -> None:
    """With a snapshot at the end and no log to replay the next update goes on where it was."""
    clock = FakeClock(T0)
    engine = opened(tmp_path, clock, SETTINGS)
    for number in range(1, 30):
        clock.advance(1)
        send(engine, batch(number))
    engine.close()
    again = opened(tmp_path, clock, SETTINGS)
    clock.advance(1)
    send(again, batch(30))
    assert slots(contents(again)) == oracle(30).slots
    again.close()


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of 20 batches, as a crash left it."""
    folder = tmp_path_factory.mktemp("past")
    clock = FakeClock(T0)
    engine = opened(folder / "live", clock, SETTINGS)
    for number in range(1, 21):
        clock.advance(1)
        send(engine, batch(number))
        wait_durable(engine)
    image = crash_image(engine, folder / "live", folder / "image")
    engine.close()
    return image


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cut_log_invents_nothing(
    past: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut anywhere, the log gives no slot a value that it never had."""
    name = f"log-{max(numbers(past / GRID, 'log')):010d}"
    whole = (past / GRID / name).read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    folder = tmp_path_factory.getbasetemp() / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(past, folder)
    (folder / GRID / name).write_bytes(whole[:cut])
    clock = FakeClock(T0 + 20_000)
    engine = opened(folder, clock, SETTINGS)
    said = [set(line) for line in _all_said()]
    for line, known in zip(slots(contents(engine)), said, strict=True):
        assert set(line.items()) <= known
    engine.close()


def _all_said() -> list[list[tuple[int, float]]]:
    """Every value that any slot ever had, by series."""
    found: list[list[tuple[int, float]]] = [[] for _ in range(SERIES)]
    model = oracle(0)
    for number in range(1, 21):
        for update in batch(number):
            model.take([update])
            found[update.series] += model.slots[update.series].items()
    return found


@pytest.mark.slow
def test_kills_lose_nothing(tmp_path: Path) -> None:
    """Killed at any moment, with what was not answered sent again, the numbers are the model's.

    Sums aside: what is sent again is added again, as the answer to it was never given.
    """
    choose = random.Random(11)
    acknowledged = 0
    while acknowledged < BATCHES:
        acknowledged = _run(tmp_path, acknowledged, choose.randrange(5, 60))
    engine = opened(tmp_path, FakeClock(T0 + BATCHES * 1000), SETTINGS)
    durability = engine.stats().durability
    assert durability is not None
    found, expected = slots(contents(engine)), oracle(BATCHES).slots
    for series in range(SERIES):
        if kind(series) != "sum":
            assert found[series] == expected[series], tags(series)
    engine.close()


def _run(folder: Path, acknowledged: int, batches: int) -> int:
    """Let a child send some batches and kill it; returns the last one it was told is kept."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.metrics.recording_child", str(folder), str(acknowledged)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    until = acknowledged + batches
    for line in child.stdout:
        acknowledged = _kept(line, acknowledged)
        if acknowledged >= until:
            break
    child.kill()
    for line in child.stdout.readlines():  # what it said before it was killed
        acknowledged = _kept(line, acknowledged)
    child.stdout.close()
    child.wait(timeout=60)
    return acknowledged


def _kept(line: str, before: int) -> int:
    return int(line.removeprefix("kept ")) if line.startswith("kept ") else before


def test_only_what_is_needed_is_logged(tmp_path: Path) -> None:
    """Rates on the grid cost no record beside their datapoints."""
    clock = FakeClock(T0)
    engine = opened(tmp_path, clock, SETTINGS)
    for number in range(3):
        clock.advance(1)
        send(engine, [Update(series, T0 + number * 1000, 1.0) for series in (0, 2, 3, 4)])
        wait_durable(engine)
    kinds = {kind.name for kind, _ in _records(tmp_path)}
    send(engine, [Update(1, T0 + 3000, 1.0)])
    wait_durable(engine)
    assert "STANDING" not in kinds
    assert "STANDING" in {kind.name for kind, _ in _records(tmp_path)}
    engine.close()


def _records(folder: Path) -> Frames:
    path = folder / GRID / f"log-{max(numbers(folder / GRID, 'log')):010d}"
    return Frames(path.read_bytes())


standings = st.integers(1, 20).flatmap(
    lambda count: st.builds(
        lambda serials, last_ms, is_extra, extras: Standing(
            np.array(serials),
            np.array(last_ms),
            np.array(is_extra),
            np.array(extras, dtype=np.float64).reshape(-1, EXTRAS)[: sum(is_extra)],
        ),
        st.lists(st.integers(1, 1 << 40), min_size=count, max_size=count, unique=True),
        st.lists(
            st.sampled_from([-1, 0, T0, T0 + 1, T0 + 7000, 1 << 45]),
            min_size=count,
            max_size=count,
        ),
        st.lists(st.booleans(), min_size=count, max_size=count),
        st.lists(
            st.sampled_from([0.0, 1.5, float(T0), 1e300]),
            min_size=EXTRAS * count,
            max_size=EXTRAS * count,
        ),
    )
)


@settings(max_examples=50, deadline=None)
@given(standings)
def test_records_say_what_was_said(standing: Standing) -> None:
    """A standing comes back as it was, whatever columns could be left out."""
    said: dict[int, tuple[float, ...]] = {}
    for parts in encode_standing(standing):
        found = decode_standing(memoryview(b"".join(parts)))
        said |= _lines(found)
    assert said == _lines(standing)


def _lines(standing: Standing) -> dict[int, tuple[float, ...]]:
    extras = iter(standing.extras.tolist())
    return {
        int(key): (float(last), *(next(extras) if more else ()))
        for key, last, more in zip(
            standing.keys, standing.last_ms, standing.is_extra.tolist(), strict=True
        )
    }


def test_totals_of_one_stamp_take_twelve_bytes() -> None:
    """The common case of totals, sent at the ends of steps, is short."""
    count = 1000
    extras = np.zeros((count, EXTRAS))
    extras[:, 1], extras[:, 2] = np.arange(count) + 1.0, T0
    everywhere = np.full(count, fill_value=True)
    standing = Standing(np.arange(count) + 5, np.full(count, T0), everywhere, extras)
    (parts,) = encode_standing(standing)
    assert sum(map(len, parts)) == 28 + 12 * count


@given(st.binary(max_size=80))
def test_a_record_that_does_not_fit_is_told(payload: bytes) -> None:
    """What is no standing is an error of the kinds that recovery reports."""
    try:
        found = decode_standing(memoryview(payload))
    except (ValueError, struct.error):
        return
    assert len(found.keys) == len(found.last_ms) == len(found.is_extra)
    assert len(found.extras) == found.is_extra.sum()
