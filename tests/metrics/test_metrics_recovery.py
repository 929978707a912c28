"""What comes back after a crash, and after damage to any file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.metrics.keeping import (
    SMALL,
    Contents,
    History,
    contents,
    crash_image,
    opened,
    points,
)

from breakwater.metrics import MetricsSettings
from breakwater.metrics.durable.files import numbers
from breakwater.metrics.durable.records import Frames
from breakwater.testing import FakeClock

GRID = "1000ms-5"


class Past:
    """A folder as a crash left it, what was in memory then, and all that was ever written."""

    def __init__(self, folder: Path, history: History, held: Contents) -> None:
        self.folder = folder
        self.clock = FakeClock(history.clock.now_ms())
        self.written = history.written
        self.held = held

    def after(self, change: Callable[[Path], object], folder: Path) -> tuple[Contents, list[str]]:
        """What a start finds after `change` to a copy of the files, and what it complains of."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        change(folder / GRID)
        engine = opened(folder, self.clock, SMALL)
        try:
            durability = engine.stats().durability
            assert durability is not None
            return contents(engine), durability.recovered.damaged
        finally:
            engine.close()


def past(folder: Path, seed: int) -> Past:
    """A life with snapshots, clean restarts, and series that came and went."""
    history = History(folder / "live", seed)
    for _ in range(3):
        history.live(25)
        history.restart()
    history.live(20, snapshot_share=0.1)
    history.live(6, snapshot_share=0.0)
    image = crash_image(history.engine, history.folder, folder / "image")
    made = Past(image, history, contents(history.engine))
    history.engine.close()
    return made


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """One such life, shared by the tests that damage copies of it."""
    return past(tmp_path_factory.mktemp("lived"), 11)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_crash_loses_nothing(tmp_path: Path, seed: int) -> None:
    """After a crash every series and every value is there, and nothing else."""
    lived = past(tmp_path, seed)
    found, damaged = lived.after(lambda _: None, tmp_path / "again")
    assert not damaged
    assert found == lived.held
    assert points(found) <= lived.written


@pytest.mark.slow
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_cut_log_is_a_prefix(
    lived: Past, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut at any byte, the newest segment gives what was written up to there, and says so."""
    newest = max(numbers(lived.folder / GRID, "log"))
    name = f"log-{newest:010d}"
    whole = (lived.folder / GRID / name).read_bytes()
    ends = _ends(whole)
    cut = data.draw(st.integers(0, len(whole)))
    folder = tmp_path_factory.getbasetemp() / "cut"
    found, damaged = lived.after(lambda f: (f / name).write_bytes(whole[:cut]), folder)
    assert points(found) <= lived.written
    assert bool(damaged) == (cut not in ends)
    before = max((end for end in ends if end <= cut), default=0)
    same, _ = lived.after(lambda f: (f / name).write_bytes(whole[:before]), folder)
    assert found == same


def _ends(whole: bytes) -> list[int]:
    """Where the header and every record of a file end."""
    frames = Frames(whole)
    starts = [frames.end for _ in frames]
    return [*starts, frames.end]


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_no_damage_invents_a_datapoint(
    lived: Past, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Flip any bit of any file, or cut or remove it: what is found was written."""
    files = sorted(path.name for path in (lived.folder / GRID).iterdir())
    name = data.draw(st.sampled_from(files))
    how = data.draw(st.sampled_from(["flip", "flip", "flip", "cut", "remove"]))
    content = bytearray((lived.folder / GRID / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))

    def change(folder: Path) -> None:
        if how == "remove":
            (folder / name).unlink()
        elif how == "cut":
            (folder / name).write_bytes(content[:place])
        else:
            content[place] ^= 1 << bit
            (folder / name).write_bytes(content)

    folder = tmp_path_factory.getbasetemp() / "damaged"
    found, _ = lived.after(change, folder)
    assert points(found) <= lived.written


def test_a_damaged_snapshot_gives_way_to_the_one_before(lived: Past, tmp_path: Path) -> None:
    """With the newest snapshot unreadable, the older one and the log since give the same."""
    newest = max(numbers(lived.folder / GRID, "snapshot"))

    def change(folder: Path) -> None:
        path = folder / f"snapshot-{newest:010d}"
        path.write_bytes(path.read_bytes()[:-20])

    found, damaged = lived.after(change, tmp_path / "again")
    assert found == lived.held
    assert len(damaged) == 1
    assert f"snapshot {newest}: it is damaged at byte" in damaged[0]


def test_a_lost_block_is_made_good_from_the_log(lived: Past, tmp_path: Path) -> None:
    """A block file that is gone is told by name; the older snapshot still has its datapoints."""
    blocks = sorted(path.name for path in (lived.folder / GRID).glob("block-*"))
    lost = blocks[-1]
    found, damaged = lived.after(lambda folder: (folder / lost).unlink(), tmp_path / "again")
    assert [problem for problem in damaged if lost in problem]
    assert found == lived.held


def test_a_lost_block_costs_only_itself(tmp_path: Path) -> None:
    """A block that two snapshots name and that is gone costs its datapoints and no other."""
    history = History(tmp_path / "live", 12)
    history.live(12, snapshot_share=0.0)
    history.snapshot()
    history.snapshot()
    held = points(contents(history.engine))
    image = crash_image(history.engine, history.folder, tmp_path / "image")
    history.engine.close()
    lost = min((image / GRID).glob("block-*"))
    number = int(lost.name.split("-")[1])
    lost.unlink()
    again = opened(image, history.clock, SMALL)
    missing = {point for point in held if point[1] // 5 == number}
    assert missing
    assert points(contents(again)) == held - missing
    again.close()


def test_a_log_without_its_beginning(lived: Past, tmp_path: Path) -> None:
    """Without snapshots and the log's beginning, no value is given to another series."""
    found, _ = lived.after(_without_snapshots_and_first_log, tmp_path / "again")
    assert points(found) <= lived.written


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (["log-0000000003"], "log segment 3 and what came after it are gone"),
        (["log-0000000002", "snapshot-0000000003"], "log segments 2 to 2 are gone"),
        (["snapshot-0000000002", "snapshot-0000000003"], "log segments 1 to 1 are gone"),
    ],
)
def test_a_missing_log_is_told(tmp_path: Path, lost: list[str], told: str) -> None:
    """A log segment that is needed and gone is told, were it the only one after a snapshot."""
    history = History(tmp_path / "live", 8)
    for _ in range(2):
        history.live(5, snapshot_share=0.0)
        history.snapshot()
    history.live(3, snapshot_share=0.0)
    image = crash_image(history.engine, history.folder, tmp_path / "image")
    history.engine.close()
    for name in lost:
        (image / GRID / name).unlink()
    again = opened(image, history.clock, SMALL)
    durability = again.stats().durability
    assert durability is not None
    assert durability.recovered.damaged == [told]
    assert points(contents(again)) <= history.written
    again.close()


def test_series_of_the_log_without_room_are_told(tmp_path: Path) -> None:
    """With a smaller max_series than the log has series, the start says how many it left out."""
    history = History(tmp_path / "live", 9, MetricsSettings(block_slots=5, classes=[]))
    history.live(20, snapshot_share=0.0)
    series = len(contents(history.engine))
    image = crash_image(history.engine, history.folder, tmp_path / "image")
    history.engine.close()
    again = opened(image, history.clock, MetricsSettings(block_slots=5, classes=[], max_series=4))
    durability = again.stats().durability
    assert durability is not None
    told = f"{series - 4} series of the log and their values are left out: max_series is 4"
    assert durability.recovered.damaged == [told]
    again.close()


def _without_snapshots_and_first_log(folder: Path) -> None:
    for path in folder.glob("snapshot-*"):
        path.unlink()
    (folder / f"log-{numbers(folder, 'log')[0]:010d}").unlink()


def test_what_left_the_retention_does_not_come_back(tmp_path: Path) -> None:
    """After a long stop the blocks are gone, and rows of dead series hold nothing of theirs."""
    history = History(tmp_path, 3)
    history.live(30)
    history.clock.advance(1000)
    history.restart()
    assert points(contents(history.engine)) == set()
    history.live(30)
    history.restart()
    assert points(contents(history.engine)) <= history.written
    history.engine.close()


def test_other_limits_after_a_restart(tmp_path: Path) -> None:
    """A shorter retention, and room for fewer series than there are, lose no more than they say."""
    history = History(tmp_path, 4)
    history.live(20, snapshot_share=0.3)
    held = contents(history.engine)
    history.settings = MetricsSettings(block_slots=5, retention_s=5, raw_blocks=2, max_series=2)
    history.restart()
    found = contents(history.engine)
    newest = max(slot for _, slot, _ in points(held))
    assert points(found) >= {p for p in points(held) if p[1] > newest - 5}
    assert points(found) <= points(held)
    history.engine.close()


def test_another_grid_begins_empty_and_comes_back(tmp_path: Path) -> None:
    """Another step has files of its own; the former step finds its own again."""
    history = History(tmp_path, 5)
    history.live(5)
    held = contents(history.engine)
    history.settings = MetricsSettings(step_ms=2000)
    history.restart()
    assert contents(history.engine) == {}
    history.settings = SMALL
    history.restart()
    assert contents(history.engine) == held
    history.engine.close()
