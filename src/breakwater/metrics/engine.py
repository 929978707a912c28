"""The metrics engine: a store of datapoints with a query language in front of it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.classes.rollup import load_rollup
from breakwater.metrics.classes.tiers import TieredReader
from breakwater.metrics.cost import Costing, Estimate, PlanOf, most_rows
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.durable.durability import Durability
from breakwater.metrics.durable.records import load_columns
from breakwater.metrics.errors import QueryError, QueryLimitError
from breakwater.metrics.evaluation.evaluate import Evaluation, Lines
from breakwater.metrics.evaluation.stretches import Stretches
from breakwater.metrics.evaluation.whole import load_running
from breakwater.metrics.grid.steps import check_primary_step
from breakwater.metrics.grid.window import Window, window
from breakwater.metrics.language.program import parse_query
from breakwater.metrics.language.vocabulary import BARE, Vocabulary
from breakwater.metrics.limits.cardinality import Cardinality, cardinality_of
from breakwater.metrics.limits.limiter import Limiter
from breakwater.metrics.programs import Look, Programs, Question
from breakwater.metrics.reading.plan import Plan, Planner, check_lines, tags_label
from breakwater.metrics.reading.reader import Reader
from breakwater.metrics.results import Expression, Line, MetricsStats, QueryResult
from breakwater.metrics.retention import FullResolution, Retention
from breakwater.metrics.selection.query import Query
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import Check, go_on
from breakwater.metrics.series.rows import Handles
from breakwater.metrics.series.rowtags import load_folding
from breakwater.metrics.series.table import TagTable
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.blocks import load_kernels, load_packing
from breakwater.metrics.store.normalizing import Normalizing, load_updates
from breakwater.metrics.store.ports import Resolved
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.model import Clock

_SETTLE_STEPS = 1
_MOST_STRETCHED = 100_000_000
_FEW_PARTS = 64
_FEW_ROWS = 256


class MetricsEngine:
    """Stores datapoints and answers programs of the stack language.

    It is the `Sink` of `breakwater.ingest`. Writing belongs to one thread; `query`, `tag_keys`,
    `tag_values` and `maintain` may run in others at the same time. `maintain` should be called
    about once a step, best in a worker thread. With a `folder` what was written is there again
    after a restart: all that was written before a `wait_durable` that returned, and usually all
    but the last second of the rest. Raises FolderInUseError and OSError when it cannot be used.
    """

    def __init__(
        self, settings: MetricsSettings, clock: Clock, *, folder: Path | None = None
    ) -> None:
        check_primary_step(settings.step_ms)
        self.settings = settings
        self.clock = clock
        self._store = SeriesStore(settings, clock)
        self._normalizing = Normalizing(self._store)
        self._durability: Durability | None = None
        if folder is not None and settings.durable:
            self._durability = Durability(self._store, folder, settings, clock, forgets=False)
        self._planner = Planner(
            self._store.index, capacity=settings.cache_entries, max_lines=settings.max_lines
        )
        self._retention = Retention(
            self._store,
            settings,
            clock,
            folder=folder if self._durability is not None else None,
        )
        self._retention.catch_up()
        self._store.discards.tell()
        self._limiter = Limiter(self._store, clock)
        full = FullResolution(self._store, Reader(self._store, self._planner))
        self._reader = TieredReader(full, self._retention.tiers)
        self.vocabulary = _vocabulary(settings)
        self._programs = Programs(self.vocabulary, settings.cache_entries)
        self._lock = threading.Lock()
        self._complete_ms = 0
        self._queries = self._failed = 0

    @property
    def step_ms(self) -> int:
        """Distance of two stored datapoints."""
        return self.settings.step_ms

    def resolve(self, tags: Mapping[str, str]) -> int:
        """Handle of the series with these (valid) tags; raises SeriesLimitError."""
        return self._limiter.resolve(tags)

    def resolve_all(self, tags: Sequence[Mapping[str, str]]) -> Resolved:
        """Handles of many series with (valid) tags, -1 for those that there is no room for."""
        return self._limiter.resolve_all(tags)

    def resolve_table(self, pairs: Sequence[tuple[str, str]], lines: NDArray[np.int32]) -> Resolved:
        """As `resolve_all`, for tags that come as a table; see `breakwater.ingest.Sink`."""
        return self._limiter.resolve_table(TagTable(pairs, lines))

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Store a column; returns the positions of handles whose series was retired meanwhile."""
        self._store.discard_future()
        return self._limiter.write(handles, timestamps_ms, values)

    def record(
        self, handles: Handles, timestamps_ms: Handles, values: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Store what updates at any stamps come to on the step grid; returns as `write` does.

        What an update means is said by the tag `atlas.dstype` of its series; the arithmetic is
        that of `breakwater.model.normalization`.
        """
        self._store.discard_future()
        return self._normalizing.record(handles, timestamps_ms, values)

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:
        """The oldest and the newest stamp that would be stored now beside one of `newest_ms`."""
        self._store.discard_future()
        return self._store.reach_ms(newest_ms)

    def write_series(self, tags: Mapping[str, str], timestamp_ms: int, value: float) -> None:
        """Store one datapoint; for tests and rare writers, columns are what is fast."""
        handle = self.resolve(tags)
        self.write(np.array([handle]), timestamp_ms, np.array([value], dtype=np.float64))

    def check_durable(self) -> None:
        """Raise NotDurableError, counted, when what is written now could not be acknowledged."""
        if self._durability is not None:
            self._durability.check()

    async def wait_durable(self) -> None:
        """Return once everything written so far is on disk; raises NotDurableError, counted.

        However many wait share one sync of the disk. Without a folder it returns at once.
        """
        if self._durability is not None:
            await self._durability.wait()

    @property
    def is_durable(self) -> bool:
        """Whether what is written can be acknowledged; without a folder it always is."""
        return self._durability is None or not self._durability.failure

    @property
    def takes_present(self) -> bool:
        """Whether datapoints of now are taken: not while what is kept is far ahead of the clock."""
        now_ms = self.clock.now_ms()
        return self._store.reach_ms(now_ms)[0] <= now_ms

    def wind_up(self) -> None:
        """The end is near: begin no snapshot, give up the one being written."""
        self._retention.wind_up()
        if self._durability is not None:
            self._durability.wind_up()

    def close(self) -> None:
        """Write what is left to the folder and give it back; a matter of a second. Blocks."""
        self._retention.close()
        if self._durability is not None:
            self._durability.close()

    @property
    def archive(self) -> Archive | None:
        """Where old datapoints are kept as files, if anywhere."""
        return self._retention.archive

    def complete(self, timestamp_ms: int) -> None:
        """Take note that what comes by lines up to `timestamp_ms` is in."""
        is_ahead = self._complete_ms > self._furthest_ms()
        self._complete_ms = timestamp_ms if is_ahead else max(self._complete_ms, timestamp_ms)

    def latest_complete_ms(self) -> int:
        """The newest stamp whose datapoints are expected to be in.

        It follows the line intake while that reports finished steps; else one step behind the
        clock.
        """
        step = self.step_ms
        by_clock = (self.clock.now_ms() // step - _SETTLE_STEPS) * step
        if by_clock - 2 * step <= self._complete_ms <= self._furthest_ms():
            return self._complete_ms
        return by_clock

    def query(
        self,
        program: str | Question,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int | None = None,
        timeout_s: float | None = None,
        deadline: Deadline | None = None,
    ) -> QueryResult:
        """Evaluate a program over (start_ms, end_ms], both floored to the step.

        step_ms is a multiple of the stored step, which is the default. `deadline` takes the place
        of timeout_s where somebody wants to cancel or to watch. Raises QueryError (syntax, value,
        limit, timeout, cancelled), InvalidStepError, InvalidTimeError.
        """
        with self._lock:
            self._queries += 1
        try:
            terms = deadline or Deadline(timeout_s)
            return self._answer(program, start_ms, end_ms, step_ms or self.step_ms, terms)
        except QueryError:
            with self._lock:
                self._failed += 1
            raise

    def stretches(
        self,
        program: str | Question,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int | None = None,
        points: int = 60,
        timeout_s: float | None = None,
        deadline: Deadline | None = None,
    ) -> Iterator[QueryResult]:
        """The answer of `query` in stretches of `points`, with exactly the same numbers.

        Memory is that of one stretch, so the window may be longer than `query` takes; words that
        need whole lines walk the window once more each. Statistics in legends are those of the
        stretch. Raises what `query` raises, at any stretch.
        """
        read = self._programs.read(program)
        asked = self._stretched(start_ms, end_ms, step_ms)
        deadline = deadline or Deadline(timeout_s)
        stretches = Stretches(
            self._reader,
            asked,
            deadline,
            self.settings.max_points,
            points=points,
            now_ms=self.clock.now_ms(),
        )
        for part, answers in stretches.run(read.expressions):
            pairs = zip(read.looks, answers, strict=True)
            expressions = [self._checked(each, lines, deadline) for each, lines in pairs]
            yield _result(part, expressions, deadline)

    def fitted_step(
        self,
        program: str | Question,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int,
    ) -> tuple[int, list[str]]:
        """The step to ask with so that older retention classes can answer too, and remarks on it.

        It is `step_ms` itself while the window lies within what is kept at full resolution; else
        a multiple of the step of the class it reaches into. Asked with another step, `query`
        leaves out what it cannot get. Raises QueryError when the program cannot be read.
        """
        chosen = self._programs.read(program).selections
        return self._reader.fitted_step(chosen, start_ms, end_ms, step_ms)

    def estimate(
        self,
        program: str | Question,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int | None = None,
        deadline: Deadline | None = None,
    ) -> Estimate:
        """What `query` or `stretches` would read and answer; it looks for the series.

        Raises what those raise before they read a datapoint, QueryLimitError among them.
        """
        check = (deadline or Deadline(None)).check
        asked = self._stretched(start_ms, end_ms, step_ms)
        costing = self._costing(asked, lambda each: self._planner.plan(each, check), check)
        return costing.of(self._programs.read(program).expressions)

    def estimate_soon(
        self, program: str | Question, *, start_ms: int, end_ms: int, step_ms: int | None = None
    ) -> Estimate | None:
        """The estimate if it can be had in well below a millisecond, else None.

        That is so for small programs whose series were looked for lately, or which are few.
        """
        read = self._programs.read_soon(program)
        if read is None or read.parts > _FEW_PARTS:
            return None
        chosen = read.selections
        known: dict[Selection, Plan] = {}
        for each in chosen:
            plan = self._plan_soon(each)
            if plan is None:
                return None
            known[each] = plan
        asked = self._stretched(start_ms, end_ms, step_ms)
        if not all(self._reader.is_recent(each, asked) for each in chosen):
            return None
        return self._costing(asked, known.__getitem__).of(read.expressions)

    def tag_keys(self, query: str = "", deadline: Deadline | None = None) -> list[str]:
        """Keys in use among the series a query matches, sorted."""
        check = (deadline or Deadline(self.settings.query_timeout_s)).check
        return self._store.index.keys(self._query(query) if query.strip() else None, check)

    def tag_values(self, key: str, query: str = "", deadline: Deadline | None = None) -> list[str]:
        """Values of a key among the series a query matches, sorted."""
        check = (deadline or Deadline(self.settings.query_timeout_s)).check
        return self._store.index.values(key, self._query(query) if query.strip() else None, check)

    def tag_count(self, key: str, value: str) -> int:
        """How many series carry the tag."""
        return self._store.index.count(key, value)

    def cardinality(self, limit: int = 100) -> Cardinality:
        """How many series there are by key, name and application; `limit` entries a list."""
        return cardinality_of(
            self._store.index,
            self._limiter.churn,
            self._limiter.uses(),
            limit=limit,
            max_series=self.settings.max_series,
        )

    def maintain(self) -> None:
        """Roll up and pack what takes no more writes, snapshot when due; call it once a step.

        First of all what lies in the future is given up, if the clock has been set back.
        """
        self._retention.maintain()
        self._store.discards.tell()
        while self._store.seal():
            pass
        if self._durability is not None:
            self._durability.maintain()

    def warm_up(self) -> None:
        """Compile the kernels, or load them from the disk cache, before a query needs them."""
        from breakwater.metrics.text import numbers  # noqa: PLC0415 - numba costs 0.6 s to import

        numbers.warm_up()
        load_kernels().warm_up()
        load_packing().warm_up()
        load_columns().warm_up()
        load_running().warm_up()
        load_folding().warm_up()
        load_updates().warm_up()
        load_rollup().warm_up()

    def stats(self) -> MetricsStats:
        """The engine about itself."""
        store = self._store
        blocks, packed = store.block_counts
        return MetricsStats(
            series=len(store.index),
            rows=store.row_count,
            blocks=blocks,
            packed_blocks=packed,
            size_bytes=store.size_bytes,
            writes=store.writes,
            datapoints=store.datapoints,
            dropped=dict(store.dropped),
            new_series=store.new_series,
            retired_series=store.retired_series,
            keys=store.index.key_count,
            tag_pairs=store.index.pair_count,
            queries=self._queries,
            failed_queries=self._failed,
            latest_complete_ms=self.latest_complete_ms(),
            durability=None if self._durability is None else self._durability.stats(),
            normalizing=self._normalizing.stats(),
            limiter=self._limiter.stats(),
            classes=self._retention.stats(),
            archive=None if self._retention.archive is None else self._retention.archive.stats(),
            future=store.discards.stats(len(store.ring.passed)),
        )

    def _furthest_ms(self) -> int:
        return self.clock.now_ms() + self.settings.max_ahead_steps * self.step_ms

    def _answer(
        self,
        program: str | Question,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        deadline: Deadline,
    ) -> QueryResult:
        read = self._programs.read(program)
        asked = window(start_ms, end_ms, step_ms, self.step_ms, max_points=self.settings.max_points)
        evaluation = Evaluation(
            self._reader,
            asked,
            deadline,
            self.settings.max_points,
            now_ms=self.clock.now_ms(),
        )
        expressions = []
        points = 0
        for styled, look in zip(read.expressions, read.looks, strict=True):
            lines = evaluation.lines(styled.inner)
            points += lines.values.size
            if points > self.settings.max_points:
                raise QueryLimitError("points in the answer", points, self.settings.max_points)
            expressions.append(self._checked(look, lines, deadline))
        return _result(asked, expressions, deadline)

    def _stretched(self, start_ms: int, end_ms: int, step_ms: int | None) -> Window:
        step_ms = step_ms or self.step_ms
        return window(start_ms, end_ms, step_ms, self.step_ms, max_points=_MOST_STRETCHED)

    def _costing(self, asked: Window, plan_of: PlanOf, check: Check = go_on) -> Costing:
        return Costing(
            asked, plan_of, lambda each, plan: self._reader.reach(each, asked, plan, check)
        )

    def _plan_soon(self, selection: Selection) -> Plan | None:
        plan = self._planner.at_hand(selection)
        if plan is None:
            index = self._store.index
            bound = most_rows(selection.query, index.count, len(index))
            if bound is not None and bound <= _FEW_ROWS:
                plan = self._planner.plan(selection)
        return plan

    def _checked(self, look: Look, lines: Lines, deadline: Deadline) -> Expression:
        check_lines(len(lines.tags), self.settings.max_lines)
        return _shown(look, lines, deadline)

    def _query(self, program: str) -> Query:
        return parse_query(program, self.vocabulary)


def _vocabulary(settings: MetricsSettings) -> Vocabulary:
    """The words of the language and those of the site; raises QueryValueError for a bad one."""
    return BARE.with_site(settings.words, settings.custom_averages, settings.average_keys)


def _result(asked: Window, expressions: list[Expression], deadline: Deadline) -> QueryResult:
    return QueryResult(
        start_ms=asked.first_ms,
        step_ms=asked.step_ms,
        lines=[line for expression in expressions for line in expression.lines],
        expressions=expressions,
        notices=list(deadline.notices),
    )


def _shown(look: Look, lines: Lines, deadline: Deadline) -> Expression:
    legend = look.legend
    texts = legend.texts(lines.tags, lines.labels, lines.values, deadline.check)
    columns = zip(lines.tags, lines.labels, texts, lines.values, strict=True)
    shown = [
        Line(
            tags=tags,
            label=tags_label(tags) if label is None else label,
            legend=text,
            values=values,
        )
        for tags, label, text, values in columns
    ]
    return Expression(
        text=look.text,
        settings=dict(look.settings),
        grouping=list(look.grouping),
        lines=shown,
        offset=legend.offset,
    )
