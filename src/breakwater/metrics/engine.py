"""The metrics engine: a store of datapoints with a query language in front of it."""

import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import QueryError, QueryLimitError
from breakwater.metrics.evaluate import Evaluation, Lines
from breakwater.metrics.language.expressions import Styled
from breakwater.metrics.language.program import parse, parse_query
from breakwater.metrics.legends import Legend
from breakwater.metrics.plan import Planner, check_lines, tags_label
from breakwater.metrics.reading import Deadline, Reader, load_kernels
from breakwater.metrics.results import Expression, Line, MetricsStats, QueryResult
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store import Handles, SeriesStore
from breakwater.metrics.window import window
from breakwater.model import Clock

_SETTLE_STEPS = 1


class MetricsEngine:
    """Stores datapoints and answers programs of the stack language.

    It is the `Sink` of `breakwater.ingest`. Writing belongs to one thread; `query`, `tag_keys`,
    `tag_values` and `maintain` may run in others at the same time. `maintain` should be called
    about once a step, best in a worker thread.
    """

    def __init__(self, settings: MetricsSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._store = SeriesStore(settings, clock)
        planner = Planner(
            self._store.index, capacity=settings.cache_entries, max_lines=settings.max_lines
        )
        self._reader = Reader(self._store, planner)
        self._programs: OrderedDict[str, tuple[Styled, ...]] = OrderedDict()
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

    def write_series(self, tags: Mapping[str, str], timestamp_ms: int, value: float) -> None:
        """Store one datapoint; for tests and rare writers, columns are what is fast."""
        handle = self._store.resolve(tags)
        self._store.write(np.array([handle]), timestamp_ms, np.array([value], dtype=np.float64))

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

    def tag_keys(self, query: str = "") -> list[str]:
        """Keys in use among the series a query matches, sorted."""
        return self._store.index.keys(parse_query(query) if query.strip() else None)

    def tag_values(self, key: str, query: str = "") -> list[str]:
        """Values of a key among the series a query matches, sorted."""
        return self._store.index.values(key, parse_query(query) if query.strip() else None)

    def tag_count(self, key: str, value: str) -> int:
        """How many series carry the tag."""
        return self._store.index.count(key, value)

    def maintain(self) -> None:
        """Pack every block that takes no more writes; call it about once a step."""
        while self._store.seal():
            pass

    def warm_up(self) -> None:
        """Compile the kernels, or load them from the disk cache, before a query needs them."""
        load_kernels().warm_up()

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
        )

    def _answer(
        self, program: str, start_ms: int, end_ms: int, step_ms: int, timeout_s: float | None
    ) -> QueryResult:
        parsed = self._parsed(program)
        asked = window(start_ms, end_ms, step_ms, self.step_ms, max_points=self.settings.max_points)
        evaluation = Evaluation(self._reader, asked, Deadline(timeout_s))
        expressions = []
        points = 0
        for each in parsed:
            lines = evaluation.lines(each.inner)
            check_lines(len(lines.tags), self.settings.max_lines)
            points += lines.values.size
            if points > self.settings.max_points:
                raise QueryLimitError("points in the answer", points, self.settings.max_points)
            expressions.append(_shown(each, lines))
        return QueryResult(
            start_ms=asked.first_ms,
            step_ms=step_ms,
            lines=[line for expression in expressions for line in expression.lines],
            expressions=expressions,
        )

    def _parsed(self, program: str) -> tuple[Styled, ...]:
        with self._lock:
            found = self._programs.get(program)
            if found is not None:
                self._programs.move_to_end(program)
                return found
        parsed = parse(program)
        with self._lock:
            self._programs[program] = parsed
            while len(self._programs) > self.settings.cache_entries:
                self._programs.popitem(last=False)
        return parsed


def _shown(styled: Styled, lines: Lines) -> Expression:
    legend = Legend(styled)
    return Expression(
        text=styled.text(),
        settings=dict(styled.settings),
        grouping=list(styled.inner.grouping),
        lines=[
            Line(
                tags=tags,
                label=tags_label(tags) if label is None else label,
                legend=legend.text(tags, label),
                values=values,
            )
            for tags, label, values in zip(lines.tags, lines.labels, lines.values, strict=True)
        ],
    )
