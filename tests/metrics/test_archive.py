"""The archive: chunks as Parquet files, whole or not there, and read back as the last tier."""

import contextlib
import io
import math
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore
from structlog.testing import capture_logs
from tests.metrics.rolling import MINUTES, T0, Array, Fleet, answer

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.archive import parquet
from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.archive.chunks import Chunk, chunk_at, chunk_ms, chunk_of
from breakwater.metrics.archive.objects import FolderObjects, Objects, StoreObjects, objects_at
from breakwater.metrics.archive.setup import archive_of
from breakwater.metrics.classes.tiers import TieredReader
from breakwater.metrics.errors import ArchiveSettingError, ArchiveUnavailableError
from breakwater.metrics.settings import ArchiveSettings
from breakwater.testing import FakeClock

HOUR_S = 3600
SPARSE = 60


class Setting:
    """An engine with classes, fed for some hours, and an archive of its own to hand."""

    def __init__(self, objects: Objects, *names: str, hours: float = 3.2) -> None:
        self.clock = FakeClock(T0 // 3_600_000 * 3_600_000)
        self.start_ms = self.clock.now_ms()
        self.settings = MetricsSettings(
            step_ms=20_000,
            retention_s=2 * HOUR_S,
            block_slots=30,
            max_series=2000,
            max_ahead_steps=60,
            classes=[
                msgspec.structs.replace(MINUTES, retention_s=2 * HOUR_S, drop_tags=["nf.node"])
            ],
            archive=ArchiveSettings(url="memory://", classes=list(names)),
        )
        quiet = msgspec.structs.replace(self.settings, archive=ArchiveSettings())
        self.engine = MetricsEngine(quiet, self.clock)
        whole = msgspec.structs.replace(quiet, retention_s=20 * HOUR_S, classes=[])
        self.fine = MetricsEngine(whole, self.clock)
        found = archive_of(
            self.engine._store,
            self.engine._retention.classes,
            self.settings,
            self.clock,
            objects=objects,
        )
        assert found is not None
        self.archive, self.tier = found
        self.engine._reader = TieredReader(
            self.engine._reader._base, [*self.engine._retention.classes, self.tier]
        )
        self.fleet = Fleet(3, int(hours * HOUR_S / 20))
        self.feed()

    def feed(self) -> None:
        """All of the fleet's steps, one each 20 s; the archive is asked to export at times."""
        for step in range(self.fleet.values.shape[1]):
            self.clock.advance(20)
            for engine in (self.engine, self.fine):
                chosen = np.flatnonzero(~np.isnan(self.fleet.values[:, step]))
                self.fleet._write(
                    engine, chosen, self.clock.now_ms(), self.fleet.values[chosen, step]
                )
            self.engine.maintain()
            if step % 50 == 0:
                self.archive.export_ready()


@pytest.fixture(scope="module", params=["folder", "store"])
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """Minutes and full resolution, archived in a folder or an object store."""
    objects: Objects = FolderObjects(tmp_path_factory.mktemp("archive"))
    if request.param == "store":
        objects = StoreObjects(MemoryStore(), "memory://")
    return Setting(objects, "minutes")


PROGRAMS = (
    ":true,:sum",
    ":true,:count",
    "name,calls,:eq,:min",
    "name,calls,:eq,:max,(,nf.app,),:by",
    "name,load,:eq,:avg,(,nf.app,nf.zone,),:by",
    "name,none,:eq,:sum",
    "name,calls,:eq,:sum,20m,:offset",
)


def test_archived_answers_equal_those_of_the_datapoints(setting: Setting) -> None:
    """What left the last class is answered from the archive with the numbers of the datapoints."""
    assert setting.archive.stats().exported_chunks == 2
    held = setting.engine._store.held_slots()
    assert held is not None
    assert held[0] * 20_000 > setting.start_ms + 2_000_000
    for step_ms in (60_000, 600_000, 3_600_000):
        window = {"start_ms": setting.start_ms, "end_ms": setting.clock.now_ms()}
        for program in PROGRAMS:
            found = answer(setting.engine, program, step_ms=step_ms, **window)
            wanted = answer(setting.fine, program, step_ms=step_ms, **window)
            assert found.keys() == wanted.keys()
            for key, values in wanted.items():
                np.testing.assert_allclose(found[key], values, rtol=1e-9, err_msg=key)


def test_only_what_a_query_needs_is_read_and_once(setting: Setting) -> None:
    """Values are kept for the next query; other chunks and names are not touched."""
    window = {"start_ms": setting.start_ms, "end_ms": setting.start_ms + 600_000}
    before = setting.archive.stats().reads
    answer(setting.engine, "name,nothing-like-it,:eq,:sum", step_ms=60_000, **window)
    assert setting.archive.stats().reads == before
    for _ in range(3):
        answer(setting.engine, "name,calls,:eq,:sum", step_ms=60_000, **window)
    assert setting.archive.stats().reads <= before + 1


def test_queries_that_reach_the_archive_get_its_step(setting: Setting) -> None:
    """The step is rounded up to that of the archived class."""
    step_ms, notices = setting.engine.fitted_step(
        ":true,:sum", start_ms=setting.start_ms, end_ms=setting.clock.now_ms(), step_ms=20_000
    )
    assert step_ms == 60_000
    assert "(archive of minutes)" in notices[0]


def test_the_files_are_plain_parquet(tmp_path: Path) -> None:
    """Anybody can read them: tags as a map, nulls for no value, times that can be worked out."""
    setting = Setting(FolderObjects(tmp_path), "full", "minutes", hours=2.2)
    files = sorted(each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*.parquet"))
    hour = datetime.fromtimestamp(setting.start_ms / 1000, UTC)
    assert files == [
        f"full/20000ms/{hour:%Y-%m-%d}/{hour:%H}h.parquet",
        f"minutes/60000ms/{hour:%Y-%m-%d}/{hour:%H}h.parquet",
    ]
    table = pq.read_table(tmp_path / files[0])
    assert table.column_names == ["id", "name", "aggr", "tags", "start_ms", "step_ms", "values"]
    rows = table.to_pylist()
    tags = setting.fleet.tags
    assert sorted(map(str, (dict(row["tags"]) for row in rows))) == sorted(
        str(dict(sorted(each.items()))) for each in tags
    )
    row = next(row for row in rows if dict(row["tags"]) == tags[0])
    assert row["aggr"] is None
    assert (row["start_ms"], row["step_ms"]) == (setting.start_ms, 20_000)
    wanted = setting.fleet.values[0, :180]
    assert row["values"] == [None if math.isnan(value) else value for value in wanted]
    kept = pq.read_table(tmp_path / files[-1]).column("aggr").to_pylist()
    assert set(kept) == {"sum", "count", "min", "max", "steps"}
    assert kept == sorted(kept)


def test_files_tell_by_which_step_their_sums_count(tmp_path: Path) -> None:
    """After a change of the step at full resolution old sums still mean what they meant."""
    setting = Setting(FolderObjects(tmp_path), "minutes", hours=2.2)
    window: dict[str, Any] = {"start_ms": setting.start_ms, "end_ms": setting.start_ms + 3_000_000}
    finer = msgspec.structs.replace(setting.settings, step_ms=5000, block_slots=10)
    engine = MetricsEngine(
        msgspec.structs.replace(finer, archive=ArchiveSettings()), FakeClock(setting.start_ms)
    )
    retention = engine._retention
    found = archive_of(
        engine._store, retention.classes, finer, engine.clock, objects=FolderObjects(tmp_path)
    )
    assert found is not None
    found[0].look()
    engine._reader = TieredReader(engine._reader._base, [*retention.classes, found[1]])
    for program in PROGRAMS:
        before = answer(setting.fine, program, step_ms=60_000, **window)
        after = answer(engine, program, step_ms=60_000, **window)
        assert before.keys() == after.keys()
        for key, values in before.items():
            np.testing.assert_allclose(after[key], values, rtol=1e-9, err_msg=key)


def test_full_resolution_can_be_archived_too(tmp_path: Path) -> None:
    """Then old windows keep every step and every tag."""
    setting = Setting(FolderObjects(tmp_path), "full")
    window = {"start_ms": setting.start_ms, "end_ms": setting.start_ms + 1_800_000}
    setting.engine._reader = TieredReader(setting.engine._reader._base, [setting.tier])
    for program in (":true,:sum,(,nf.node,),:by", "name,calls,:eq,:all"):
        found = answer(setting.engine, program, step_ms=20_000, **window)
        wanted = answer(setting.fine, program, step_ms=20_000, **window)
        assert found.keys() == wanted.keys()
        for key, values in wanted.items():
            np.testing.assert_array_equal(found[key], values)


def test_an_export_that_was_given_up_leaves_nothing(tmp_path: Path) -> None:
    """A file is there whole or not at all, and is then written by the next export."""
    setting = Setting(FolderObjects(tmp_path), "minutes", hours=1.6)
    for each in tmp_path.rglob("*.parquet"):
        each.unlink()
    assert setting.archive.export_ready(may_go_on=lambda: False) == []
    assert list(tmp_path.rglob("*.*")) == []
    assert [chunk.name for chunk in setting.archive.export_ready()] == ["minutes"]
    assert setting.archive.export_ready() == []


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    """A query that needs a file which cannot be read fails, and says which."""
    setting = Setting(FolderObjects(tmp_path), "minutes")
    for each in tmp_path.rglob("*.parquet"):
        each.write_bytes(each.read_bytes()[:-20])
    window = {"start_ms": setting.start_ms, "end_ms": setting.start_ms + 600_000}
    with pytest.raises(ArchiveUnavailableError, match=r"minutes/60000ms/.*parquet of the archive"):
        answer(setting.engine, ":true,:sum", step_ms=60_000, **window)


def test_no_flipped_bit_invents_a_value(tmp_path: Path) -> None:
    """A bit flipped in the pages or in the footer of a file is told; nothing else is read."""
    chunk = chunk_at("minutes", 60_000, T0)
    path = tmp_path / "file"
    writer = parquet.ChunkWriter(path, chunk, 1000)
    tags = [{"name": f"m{row % 3}", "nf.app": f"a{row}"} for row in range(30)]
    values = np.round(np.random.default_rng(1).normal(5, 3, (30, chunk.slots)), 2)
    writer.add(tags, values)
    writer.close()
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        file = io.BytesIO(damaged)
        with contextlib.suppress(ArchiveUnavailableError):
            footer = parquet.read_footer(file, chunk)
            assert [each for _, each in parquet.read_series(file, footer, 0, chunk)] == tags
            np.testing.assert_array_equal(parquet.read_values(file, footer, 0, chunk), values)


class _Refusing(FolderObjects):
    """An archive that cannot be reached."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.asked = threading.Event()

    def paths(self) -> list[str]:
        self.asked.set()
        raise ArchiveUnavailableError("the archive far://away cannot be read: no route")


def test_an_archive_out_of_reach_is_told_once_and_tried_again() -> None:
    """The thread goes on; the reason is in the stats and is logged once."""
    clock = FakeClock(T0)
    refusing = _Refusing()
    with capture_logs() as events:
        archive = Archive(ArchiveSettings(url="far://away"), refusing, [], clock)
        archive.start()
        assert refusing.asked.wait(5)
        archive.close()
        clock.advance(100)
        archive._step()
    stats = archive.stats()
    assert stats.failures == 2
    assert stats.failure.endswith("no route")
    assert [each["event"] for each in events] == ["metrics.archive_failed"]


def test_what_can_never_work_is_refused_at_the_start(tmp_path: Path) -> None:
    """Unknown classes, classes that are kept too shortly, and URLs nobody knows."""
    clock = FakeClock(T0)

    def engine(archive: ArchiveSettings) -> MetricsEngine:
        return MetricsEngine(MetricsSettings(archive=archive), clock)

    with pytest.raises(ArchiveSettingError, match="holds 'days'; there are: full, minutes"):
        engine(ArchiveSettings(url=str(tmp_path), classes=["days"]))
    with pytest.raises(ArchiveSettingError, match="allowed: 7200 s or more"):
        engine(ArchiveSettings(url=str(tmp_path), classes=["full"]))
    with pytest.raises(ArchiveSettingError, match="allowed: a folder, or a URL like s3://"):
        engine(ArchiveSettings(url="foo://bar/baz"))


def test_an_engine_exports_by_itself(tmp_path: Path) -> None:
    """With a URL the engine has an archive, which ends with the engine."""
    settings = MetricsSettings(archive=ArchiveSettings(url=str(tmp_path / "archive")))
    engine = MetricsEngine(settings, FakeClock(T0))
    assert engine.stats().archive is not None
    engine.close()
    assert not any(each.name == "metrics-archive" for each in threading.enumerate())


@pytest.mark.parametrize("step_ms", [1000, 20_000, 60_000, 300_000, 360_000, 3_600_000, 86_400_000])
def test_paths_say_which_chunk_a_file_holds(step_ms: int) -> None:
    """A chunk can be told from its path, and begins on the grid of its own length."""
    chunk = chunk_at("a-b1", step_ms, T0)
    assert chunk_of(chunk.path) == chunk
    assert chunk.start_ms <= T0 < chunk.end_ms
    assert chunk.end_ms - chunk.start_ms == chunk_ms(step_ms)
    assert chunk.slots * step_ms == chunk_ms(step_ms)
    assert chunk.first_slot * step_ms == chunk.start_ms + step_ms


@pytest.mark.parametrize(
    "path",
    [
        "x.parquet",
        "a/0ms/2026-01-01/00h.parquet",
        "a/1000ms/2026-13-01/00h.parquet",
        "a/1000ms/2026-01-01/24h.parquet",
        "a/3600000ms/2026-01-01/05h.parquet",
        "A/1ms/x/00h.parquet",
    ],
)
def test_other_files_are_left_alone(path: str) -> None:
    """What is not a chunk of ours is no chunk."""
    assert chunk_of(path) is None


def test_a_url_names_a_folder_or_a_store(tmp_path: Path) -> None:
    """Plain paths and file:// are folders, the rest goes to the object store library."""
    assert isinstance(objects_at(str(tmp_path)), FolderObjects)
    assert isinstance(objects_at(f"file://{tmp_path}"), FolderObjects)
    assert isinstance(objects_at("memory://"), StoreObjects)


def test_files_of_version_1_can_be_read() -> None:
    """What was archived once stays readable."""
    path = Path(__file__).parents[1] / "golden" / "archive-v1.parquet"
    chunk = Chunk("minutes", 60_000, 1_767_225_600_000)
    with path.open("rb") as file:
        footer = parquet.read_footer(file, chunk)
        series = parquet.read_series(file, footer, 0, chunk)
        values = parquet.read_values(file, footer, 0, chunk)
    assert footer.full_step_ms == 1000
    assert footer.groups[0].names == ("calls", "load")
    assert [tags for _, tags in series] == GOLDEN_TAGS
    assert [each for each, _ in series] == [parquet.series_id(tags) for tags in GOLDEN_TAGS]
    assert series[0][0].hex() == GOLDEN_ID
    np.testing.assert_array_equal(values, golden_values())


GOLDEN_ID = "34e60f8cc29a1a959b7f208cf0c54f94"
GOLDEN_TAGS = [
    {"name": "calls", "nf.app": "www", "atlas.aggr": "count"},
    {"name": "calls", "nf.app": "www", "atlas.aggr": "sum"},
    {"name": "load", "nf.app": "www", "atlas.dstype": "gauge", "atlas.aggr": "sum"},
]


def golden_values() -> Array:
    """What the golden file holds."""
    values = np.arange(180.0).reshape(3, 60) / 4
    values[1, 5:9] = np.nan
    return values
