"""What is acknowledged, what is refused, and how the engine finds its way back."""

import contextlib
import os
import resource
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import anyio
import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.metrics.keeping import (
    DEFAULT,
    SMALL,
    T0,
    History,
    contents,
    crash_image,
    opened,
    points,
    wait_durable,
)

from breakwater.metrics import (
    DurabilityStats,
    FolderInUseError,
    MetricsEngine,
    MetricsSettings,
    NotDurableError,
)
from breakwater.metrics.durable.files import numbers
from breakwater.metrics.durable.log import MOST_WAITING_BYTES
from breakwater.testing import FakeClock


def stats(engine: MetricsEngine) -> DurabilityStats:
    """What the engine says about its files."""
    found = engine.stats().durability
    assert found is not None
    return found


def write(engine: MetricsEngine, clock: FakeClock, count: int = 10, value: float = 1.0) -> None:
    """One step of `count` series."""
    clock.advance(1)
    handles = np.array([engine.resolve({"name": "m", "i": f"n{i}"}) for i in range(count)])
    engine.write(handles, clock.now_ms(), np.full(count, value))


@contextlib.contextmanager
def full_disk() -> Generator[None, None, None]:
    """No file of this process can grow beyond a few bytes, the one of its output included."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with capture_logs():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(T0)


@pytest.fixture
def engine(tmp_path: Path, clock: FakeClock) -> Iterator[MetricsEngine]:
    """An engine with a folder of its own."""
    made = opened(tmp_path / "metrics", clock)
    yield made
    made.close()


def test_an_engine_without_a_folder_promises_nothing(clock: FakeClock) -> None:
    """In memory nothing is waited for and nothing refused."""
    engine = MetricsEngine(DEFAULT, clock)
    engine.check_durable()
    wait_durable(engine)
    assert engine.is_durable
    assert engine.stats().durability is None
    engine.wind_up()
    engine.close()


def test_durable_off_leaves_the_folder_alone(clock: FakeClock, tmp_path: Path) -> None:
    """With `durable` off no file is made."""
    engine = opened(tmp_path / "metrics", clock, MetricsSettings(durable=False))
    write(engine, clock)
    engine.close()
    assert not (tmp_path / "metrics").exists()


def test_a_folder_belongs_to_one_engine(
    engine: MetricsEngine, clock: FakeClock, tmp_path: Path
) -> None:
    """A second engine in the same folder is refused until the first has closed."""
    with pytest.raises(FolderInUseError, match="held by another running platform"):
        opened(tmp_path / "metrics", clock)
    engine.close()
    opened(tmp_path / "metrics", clock).close()


def test_lines_are_on_disk_without_anybody_waiting(
    engine: MetricsEngine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody waits for is synced soon by itself."""
    synced = threading.Event()
    sync = os.fdatasync

    def sync_and_tell(fd: int) -> None:
        sync(fd)
        synced.set()

    monkeypatch.setattr(os, "fdatasync", sync_and_tell)
    durability = engine._durability
    assert durability is not None
    durability._log._sync_every_s = 0.0
    write(engine, clock)
    assert synced.wait(20)


@pytest.mark.anyio
async def test_many_waiters_share_a_sync(engine: MetricsEngine, clock: FakeClock) -> None:
    """Those who wait at the same time share a sync of the disk."""
    write(engine, clock)
    await engine.wait_durable()
    before = stats(engine).log.syncs
    for number in range(100):
        write(engine, clock, value=float(number))
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(engine.wait_durable)
    # One may have been under way when the last value was written; one more takes all the rest.
    assert 1 <= stats(engine).log.syncs - before <= 2


def test_snapshots_keep_the_log_short(engine: MetricsEngine, clock: FakeClock) -> None:
    """Snapshots come at their time; two are kept with the log since the older one."""
    for _ in range(4):
        write(engine, clock)
        wait_durable(engine)
        clock.advance(DEFAULT.snapshot_every_s)
        engine.maintain()
    engine.maintain()
    assert stats(engine).snapshots == 4
    assert engine._durability is not None
    folder = engine._durability._grid.folder
    assert len(numbers(folder, "snapshot")) == 2
    assert numbers(folder, "log")[0] == numbers(folder, "snapshot")[0]
    named = {path.name for path in folder.iterdir()}
    assert not any(name.endswith(".unfinished") for name in named)


def test_a_silent_platform_keeps_no_log_for_nothing(
    engine: MetricsEngine, clock: FakeClock
) -> None:
    """After the last write the log goes too, at the pace of snapshots, and then they end."""
    assert engine._durability is not None
    folder = engine._durability._grid.folder
    kept_bytes = []
    for count in (3_000, 100_000, 0, 0, 0, 0):
        if count:
            clock.advance(1)
            handles = engine.resolve_all([{"name": "m", "i": f"n{i}"} for i in range(count)])
            random = np.random.default_rng(count).random(count)
            engine.write(handles.handles, clock.now_ms(), random)
            wait_durable(engine)
        clock.advance(DEFAULT.snapshot_every_s)
        engine.maintain()
        kept_bytes.append(stats(engine).kept_log_bytes)
    assert stats(engine).snapshots == 3
    assert kept_bytes[1] > 1 << 20
    assert kept_bytes[2:] == [0] * 4
    assert sum(path.stat().st_size for path in folder.glob("log-*")) < 1 << 20


def test_a_long_log_brings_a_snapshot_forward(tmp_path: Path, clock: FakeClock) -> None:
    """The log is bounded in bytes, not only in time."""
    engine = opened(tmp_path, clock, msgspec.structs.replace(DEFAULT, max_log_bytes=1000))
    write(engine, clock, count=100)
    wait_durable(engine)
    engine.maintain()
    assert stats(engine).snapshots == 1
    engine.maintain()
    assert stats(engine).snapshots == 1
    engine.close()


def test_many_crashes_do_not_pile_up_logs(tmp_path: Path, clock: FakeClock) -> None:
    """A platform that crashes again and again takes a snapshot although its time never comes."""
    folder = tmp_path / "0"
    for number in range(12):
        engine = opened(folder, clock)
        write(engine, clock)
        engine.maintain()
        image = crash_image(engine, folder, tmp_path / f"{number + 1}")
        held = contents(engine)
        engine.close()
        folder = image
    last = opened(folder, clock)
    assert contents(last) == held
    assert stats(last).recovered.segments < 12
    assert stats(last).recovered.snapshot > 0
    last.close()


def test_a_full_disk_refuses_and_recovers(
    engine: MetricsEngine, clock: FakeClock, tmp_path: Path
) -> None:
    """Reads and lines go on, publish is refused with the reason, and room brings it all back."""
    write(engine, clock, value=1.0)
    wait_durable(engine)
    with full_disk():
        write(engine, clock, value=2.0)
        with pytest.raises(NotDurableError, match="File too large; send them again"):
            wait_durable(engine)
        assert "File too large" in stats(engine).log.failure
        with pytest.raises(NotDurableError, match=r"cannot be kept: .*File too large"):
            engine.check_durable()
        write(engine, clock, count=12, value=3.0)  # lines: in memory, with two new series
        engine.maintain()
        assert stats(engine).log.failure
        clock.advance(1)
        found = engine.query("name,m,:eq,:count", start_ms=T0, end_ms=clock.now_ms())
        assert np.nansum(found.lines[0].values) == 32
    before = stats(engine).log
    assert before.failures >= 1
    assert before.refused == 2
    assert before.not_durable == 22
    clock.advance(60)
    engine.maintain()
    assert engine.is_durable
    engine.check_durable()
    write(engine, clock, count=12, value=4.0)
    again = opened(crash_image(engine, tmp_path / "metrics", tmp_path / "copy"), clock)
    assert contents(again) == contents(engine)
    assert len(points(contents(again))) == 44
    again.close()


def test_a_crash_while_the_disk_is_full_keeps_what_was_acknowledged(
    engine: MetricsEngine, clock: FakeClock, tmp_path: Path
) -> None:
    """What was acknowledged before the disk was full is there, and of the rest nothing wrong."""
    write(engine, clock, value=1.0)
    image = crash_image(engine, tmp_path / "metrics", tmp_path / "copy")
    acknowledged = points(contents(engine))
    with full_disk():
        write(engine, clock, count=15, value=2.0)
        with pytest.raises(NotDurableError):
            wait_durable(engine)
        engine.maintain()
    again = opened(image, clock)
    assert acknowledged <= points(contents(again)) <= points(contents(engine))
    again.close()


def test_a_full_disk_does_not_stop_the_start(tmp_path: Path, clock: FakeClock) -> None:
    """A start without room reads what there is and comes back by itself."""
    first = opened(tmp_path, clock)
    write(first, clock)
    held = contents(first)
    first.close()
    with full_disk():
        second = opened(tmp_path, clock)
        assert contents(second) == held
        assert stats(second).log.failure
        second.maintain()
    clock.advance(60)
    second.maintain()
    assert second.is_durable
    second.close()


def test_a_disk_that_does_not_keep_up(engine: MetricsEngine, clock: FakeClock) -> None:
    """When too much waits for the disk, publish is refused and lines are counted, not queued."""
    durability = engine._durability
    assert durability is not None
    log = durability._log
    write(engine, clock)
    log._queued_bytes = MOST_WAITING_BYTES + 1
    with pytest.raises(NotDurableError, match="does not keep up"):
        engine.check_durable()
    log._queued_bytes = 2 * MOST_WAITING_BYTES + 1
    write(engine, clock)
    assert stats(engine).log.not_durable == 10


def test_what_no_longer_fits_the_queue_is_not_acknowledged(
    engine: MetricsEngine, clock: FakeClock, tmp_path: Path
) -> None:
    """Who wrote when the queue was full is told so, and a snapshot brings all of it to disk."""
    write(engine, clock)
    wait_durable(engine)
    assert engine._durability is not None
    log = engine._durability._log
    log._queued_bytes = 2 * MOST_WAITING_BYTES + 1
    write(engine, clock, value=2.0)
    log._queued_bytes = 0
    with pytest.raises(NotDurableError, match="too slow; send them again"):
        wait_durable(engine)
    assert stats(engine).log.failure
    engine.maintain()
    assert not stats(engine).log.failure
    again = opened(crash_image(engine, tmp_path / "metrics", tmp_path / "copy"), clock)
    assert contents(again) == contents(engine)
    again.close()


def test_what_is_left_out_during_a_snapshot_needs_another(
    engine: MetricsEngine, clock: FakeClock
) -> None:
    """A snapshot that began before datapoints were left out does not make them durable."""
    assert engine._durability is not None
    log = engine._durability._log
    write(engine, clock)
    log.refuse("the disk is away")
    log.mark().segment()
    log._queued_bytes = 2 * MOST_WAITING_BYTES + 1
    write(engine, clock)
    log._queued_bytes = 0
    log.trust()
    assert "the disk is away" in stats(engine).log.failure
    engine.maintain()
    assert not stats(engine).log.failure


def test_a_snapshot_given_up_leaves_nothing(tmp_path: Path, clock: FakeClock) -> None:
    """A platform that ends during a snapshot keeps the former one and the log."""
    history = History(tmp_path, 8)
    history.live(20, snapshot_share=0.0)
    assert history.engine._durability is not None
    history.engine.wind_up()
    history.snapshot()
    assert stats(history.engine).snapshots == 0
    held = contents(history.engine)
    copy = opened(
        crash_image(history.engine, tmp_path, tmp_path.parent / "copy"), history.clock, SMALL
    )
    assert contents(copy) == held
    copy.close()
    history.engine.close()


@pytest.mark.slow
def test_writing_goes_on_during_snapshots(tmp_path: Path) -> None:
    """Series that come and go while a snapshot is being written do not end up in it wrongly."""
    history = History(tmp_path / "live", 21)
    is_over = threading.Event()

    def snapshots() -> None:
        while not is_over.is_set():
            history.snapshot()

    thread = threading.Thread(target=snapshots)
    thread.start()
    for number in range(6):
        history.live(40, snapshot_share=0.0)
        durability = history.engine._durability
        assert durability is not None
        with durability._turn:  # between two snapshots, so that the copy is of one moment
            image = crash_image(history.engine, tmp_path / "live", tmp_path / f"copy-{number}")
            held = contents(history.engine)
        again = opened(image, history.clock, SMALL)
        assert contents(again) == held
        assert points(held) <= history.written
        again.close()
    is_over.set()
    thread.join()
    history.engine.close()
