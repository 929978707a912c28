"""The metrics engine: a store of datapoints with a query language in front of it."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.durability import Durability
from breakwater.metrics.errors import QueryError, QueryLimitError
from breakwater.metrics.evaluate import Evaluation, Lines
from breakwater.metrics.language.program import parse, parse_query
from breakwater.metrics.language.query import Query
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.vocabulary import BARE, Vocabulary
from breakwater.metrics.legends import Legend
from breakwater.metrics.plan import Planner, check_lines, tags_label
from breakwater.metrics.reading import Deadline, Reader, load_kernels
from breakwater.metrics.results import Expression, Line, MetricsStats, QueryResult
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store import Handles, SeriesStore
from breakwater.metrics.stretches import Stretches
from breakwater.metrics.whole import load_running
from breakwater.metrics.window import Window, window
from breakwater.model import Clock

_SETTLE_STEPS = 1
_MOST_STRETCHED = 100_000_000


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
        self.settings = settings
        self.clock = clock
        self._store = SeriesStore(settings, clock)
        self._durability: Durability | None = None
        if folder is not None and settings.durable:
            self._durability = Durability(self._store, folder, settings, clock)
        planner = Planner(
            self._store.index, capacity=settings.cache_entries, max_lines=settings.max_lines
        )
        self._reader = Reader(self._store, planner)
        self._programs: OrderedDict[str, tuple[Styled, ...]] = OrderedDict()
        self.vocabulary = _vocabulary(settings)
        self._lock = threading.Lock()
        self._complete_ms = 0
        self._queries = self._failed = 0

    @property
    def step_ms(self) -> int:
        """Distance of two stored datapoints."""
        return self.settings.step_ms

    def resolve(self, tags: Mapping[str, str]) -> int:
        """Handle of the series with these (valid) tags; raises SeriesLimitError."""
        return self._store.resolve(tags)

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Store a column; returns the positions of handles whose series was retired meanwhile."""
        return self._store.write(handles, timestamps_ms, values)

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:
        """The oldest and the newest stamp that would be stored now beside one of `newest_ms`."""
        return self._store.reach_ms(newest_ms)

    def write_series(self, tags: Mapping[str, str], timestamp_ms: int, value: float) -> None:
        """Store one datapoint; for tests and rare writers, columns are what is fast."""
        handle = self._store.resolve(tags)
        self._store.write(np.array([handle]), timestamp_ms, np.array([value], dtype=np.float64))

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

    def wind_up(self) -> None:
        """The end is near: begin no snapshot, give up the one being written."""
        if self._durability is not None:
            self._durability.wind_up()

    def close(self) -> None:
        """Write what is left to the folder and give it back; a matter of a second. Blocks."""
        if self._durability is not None:
            self._durability.close()

    def complete(self, timestamp_ms: int) -> None:
        """Take note that what comes by lines up to `timestamp_ms` is in."""
        self._complete_ms = max(self._complete_ms, timestamp_ms)

    def latest_complete_ms(self) -> int:
        """The newest stamp whose datapoints are expected to be in.

        It follows the line intake while that reports finished steps; else one step behind the
        clock.
        """
        step = self.step_ms
        by_clock = (self.clock.now_ms() // step - _SETTLE_STEPS) * step
        if self._complete_ms >= by_clock - 2 * step:
            return self._complete_ms
        return by_clock

    def query(
        self,
        program: str,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int | None = None,
        timeout_s: float | None = None,
    ) -> QueryResult:
        """Evaluate a program over (start_ms, end_ms], both floored to the step.

        step_ms is a multiple of the stored step, which is the default. Raises QueryError
        (syntax, value, limit, timeout), InvalidStepError, InvalidTimeError.
        """
        with self._lock:
            self._queries += 1
        try:
            return self._answer(program, start_ms, end_ms, step_ms or self.step_ms, timeout_s)
        except QueryError:
            with self._lock:
                self._failed += 1
            raise

    def stretches(
        self,
        program: str,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int | None = None,
        points: int = 60,
        timeout_s: float | None = None,
    ) -> Iterator[QueryResult]:
        """The answer of `query` in stretches of `points`, with exactly the same numbers.

        Memory is that of one stretch, so the window may be longer than `query` takes; words that
        need whole lines walk the window once more each. Statistics in legends are those of the
        stretch. Raises what `query` raises, at any stretch.
        """
        step_ms = step_ms or self.step_ms
        parsed = self._parsed(program)
        asked = window(start_ms, end_ms, step_ms, self.step_ms, max_points=_MOST_STRETCHED)
        deadline = Deadline(timeout_s)
        stretches = Stretches(
            self._reader,
            asked,
            deadline,
            self.settings.max_points,
            points=points,
            now_ms=self.clock.now_ms(),
        )
        for part, answers in stretches.run(parsed):
            pairs = zip(parsed, answers, strict=True)
            expressions = [self._checked(each, lines, deadline) for each, lines in pairs]
            yield _result(part, expressions)

    def tag_keys(self, query: str = "") -> list[str]:
        """Keys in use among the series a query matches, sorted."""
        check = Deadline(self.settings.query_timeout_s).check
        return self._store.index.keys(self._query(query) if query.strip() else None, check)

    def tag_values(self, key: str, query: str = "") -> list[str]:
        """Values of a key among the series a query matches, sorted."""
        check = Deadline(self.settings.query_timeout_s).check
        return self._store.index.values(key, self._query(query) if query.strip() else None, check)

    def tag_count(self, key: str, value: str) -> int:
        """How many series carry the tag."""
        return self._store.index.count(key, value)

    def maintain(self) -> None:
        """Pack every block that takes no more writes, snapshot when due; call it once a step."""
        while self._store.seal():
            pass
        if self._durability is not None:
            self._durability.maintain()

    def warm_up(self) -> None:
        """Compile the kernels, or load them from the disk cache, before a query needs them."""
        load_kernels().warm_up()
        load_running().warm_up()

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
        )

    def _answer(
        self, program: str, start_ms: int, end_ms: int, step_ms: int, timeout_s: float | None
    ) -> QueryResult:
        parsed = self._parsed(program)
        asked = window(start_ms, end_ms, step_ms, self.step_ms, max_points=self.settings.max_points)
        deadline = Deadline(timeout_s)
        evaluation = Evaluation(
            self._reader,
            asked,
            deadline,
            self.settings.max_points,
            now_ms=self.clock.now_ms(),
        )
        expressions = []
        points = 0
        for each in parsed:
            lines = evaluation.lines(each.inner)
            points += lines.values.size
            if points > self.settings.max_points:
                raise QueryLimitError("points in the answer", points, self.settings.max_points)
            expressions.append(self._checked(each, lines, deadline))
        return _result(asked, expressions)

    def _checked(self, styled: Styled, lines: Lines, deadline: Deadline) -> Expression:
        check_lines(len(lines.tags), self.settings.max_lines)
        return _shown(styled, lines, deadline)

    def _query(self, program: str) -> Query:
        return parse_query(program, self.vocabulary)

    def _parsed(self, program: str) -> tuple[Styled, ...]:
        with self._lock:
            found = self._programs.get(program)
            if found is not None:
                self._programs.move_to_end(program)
                return found
        parsed = parse(program, self.vocabulary)
        with self._lock:
            self._programs[program] = parsed
            while len(self._programs) > self.settings.cache_entries:
                self._programs.popitem(last=False)
        return parsed


def _vocabulary(settings: MetricsSettings) -> Vocabulary:
    """The words of the language and those of the site; raises QueryValueError for a bad one."""
    return BARE.with_site(settings.words, settings.custom_averages, settings.average_keys)


def _result(asked: Window, expressions: list[Expression]) -> QueryResult:
    return QueryResult(
        start_ms=asked.first_ms,
        step_ms=asked.step_ms,
        lines=[line for expression in expressions for line in expression.lines],
        expressions=expressions,
    )


def _shown(styled: Styled, lines: Lines, deadline: Deadline) -> Expression:
    legend = Legend(styled)
    shown = []
    for tags, label, values in zip(lines.tags, lines.labels, lines.values, strict=True):
        deadline.check()
        named = tags_label(tags) if label is None else label
        text = legend.text(tags, label, values)
        shown.append(Line(tags=tags, label=named, legend=text, values=values))
    return Expression(
        text=styled.text(),
        settings=dict(styled.settings),
        grouping=list(styled.inner.grouping),
        lines=shown,
    )
