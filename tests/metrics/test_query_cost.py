"""What a query would cost is known before it runs, and agrees with what it then does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics import MetricsEngine, MetricsSettings, QueryLimitError
from breakwater.metrics.cost import Estimate, most_rows, selections
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.language.program import parse, parse_query
from breakwater.testing import FakeClock

APPS, NODES = 3, 4
BY_APP = "name,calls,:eq,(,nf.app,),:by"


@pytest.fixture(scope="module")
def engine() -> MetricsEngine:
    """Twelve series of three apps, and a percentile timer of three buckets."""
    made = MetricsEngine(MetricsSettings(), FakeClock())
    now_ms = made.clock.now_ms()
    for number in range(APPS * NODES):
        tags = {"name": "calls", "nf.app": f"a{number % APPS}", "nf.node": f"i-{number}"}
        made.write_series(tags, now_ms, 1.0)
    for bucket in ("T0010", "T0020", "T0030"):
        made.write_series({"name": "t", "nf.app": "a0", "percentile": bucket}, now_ms, 1.0)
    return made


def cost(engine: MetricsEngine, program: str, **more: Any) -> Estimate:
    """The estimate over ten points."""
    now_ms = engine.clock.now_ms()
    return engine.estimate(program, start_ms=now_ms - 10_000, end_ms=now_ms, **more)


def test_what_is_not_held_costs_nothing(engine: MetricsEngine) -> None:
    """Of a window before all that is held no more than one point is counted."""
    found = cost(engine, f"{BY_APP},1h,:offset")
    assert (found.series, found.lines, found.input_datapoints) == (12, 3, 12)
    assert found.output_points == 30


@pytest.mark.parametrize(
    ("program", "series", "lines"),
    [
        ("name,calls,:eq", 12, 1),
        ("name,calls,:eq,:all", 12, 12),
        (BY_APP, 12, 3),
        (f"{BY_APP},:max", 12, 1),
        (f"{BY_APP},:dup,:add", 12, 3),
        (f"{BY_APP},name,t,:eq,:div", 15, 3),
        (f"{BY_APP},max,2,:topk", 12, 2),
        (f"{BY_APP},max,2,:topk-others-sum", 12, 3),
        (f"{BY_APP},:stat-max,5,:gt,:filter", 12, 3),
        (f"{BY_APP},5,:rolling-max", 12, 3),
        ("name,t,:eq,(,25,50,),:percentiles", 3, 2),
        ("name,t,:eq,(,nf.app,),:by,(,25,50,),:percentiles", 3, 2),
        ("name,calls,:eq,:avg", 24, 1),
        ("42,:random", 0, 2),
        ("name,none,:eq", 0, 1),
    ],
)
def test_series_and_lines_are_counted(
    engine: MetricsEngine, program: str, series: int, lines: int
) -> None:
    """What is read twice is counted once, and lines are those of the answer."""
    found = cost(engine, program)
    assert (found.series, found.lines) == (series, lines)
    assert found.input_datapoints == series * 10
    assert found.output_points == lines * 10
    now_ms = engine.clock.now_ms()
    answer = engine.query(program, start_ms=now_ms - 10_000, end_ms=now_ms)
    assert len(answer.lines) <= lines


def test_a_longer_step_reads_as_much_and_answers_less(engine: MetricsEngine) -> None:
    """Points of the store are read whatever the step, points of the answer are fewer."""
    found = cost(engine, BY_APP, step_ms=5_000)
    assert (found.input_datapoints, found.output_points) == (120, 6)


def test_what_is_at_hand_is_told_at_once(engine: MetricsEngine) -> None:
    """Patterns have to be tried first; afterwards their estimate is the same, and at hand."""
    now_ms = engine.clock.now_ms()
    window: dict[str, Any] = {"start_ms": now_ms - 10_000, "end_ms": now_ms}
    pattern = "name,ca.*,:re,(,nf.app,),:by"
    assert engine.estimate_soon(pattern, **window) is None
    full = engine.estimate(pattern, **window)
    assert engine.estimate_soon(pattern, **window) == full
    assert engine.estimate_soon("name,calls,:eq,nf.app,a1,:eq,:and", **window) is not None
    long = ",".join([BY_APP] + ["1,:add"] * 150)
    assert engine.estimate_soon(long, **window) is None


def test_what_cannot_be_planned_is_refused_before_it_is_read() -> None:
    """Too many lines are too many already in the estimate."""
    engine = MetricsEngine(MetricsSettings(max_lines=2), FakeClock())
    for number in range(3):
        engine.write_series({"name": "x", "k": str(number)}, engine.clock.now_ms(), 1.0)
    with pytest.raises(QueryLimitError, match="too many lines: 3 > 2"):
        cost(engine, "name,x,:eq,(,k,),:by")


def test_an_estimate_is_cancelled_like_a_query(engine: MetricsEngine) -> None:
    """Looking for series takes time, too."""
    deadline = Deadline(None)
    deadline.cancel("enough")
    with pytest.raises(Exception, match="cancelled: enough"):
        cost(engine, "name,c.*s$,:re,x,:has,:or", deadline=deadline)


def test_what_a_program_reads_is_listed_once() -> None:
    """Parts that a named word only prints are not read."""
    program = parse("name,x,:eq,:avg,name,x,:eq,:sum,:div,(,k,),:by,name,x,:eq,:sum")
    assert [each.text() for each in selections(program)] == [
        "name,x,:eq,:sum,(,k,),:by",
        "name,x,:eq,:count,(,k,),:by",
        "name,x,:eq,:sum",
    ]


CONDITIONS = st.sampled_from(["a,1,:eq", "a,(,1,2,),:in", "b,:has", ":true", ":false", "b,9,:eq"])


@given(st.lists(st.tuples(CONDITIONS, st.sampled_from([":and", ":or"]), st.booleans()), min_size=1))
def test_the_bound_of_rows_is_one(conditions: list[tuple[str, str, bool]]) -> None:
    """Never fewer than there are, whatever the conditions."""
    rows = [{"a": str(a), **({"b": str(b)} if b else {})} for a in range(3) for b in range(3)]
    words = []
    for place, (condition, join, is_not) in enumerate(conditions[:6]):
        words += [condition] + [":not"] * is_not + [join] * (place > 0)
    query = parse_query(",".join(words))

    def count(key: str, value: str) -> int:
        return sum(row.get(key) == value for row in rows)

    bound = most_rows(query, count, len(rows))
    assert bound is not None
    assert bound >= sum(query.matches(row) for row in rows)


def test_patterns_have_no_bound() -> None:
    """How many values a pattern matches is known only when they were tried."""
    query = parse_query("a,1,:eq,b,x.*,:re,:and")
    assert most_rows(query, lambda *_: 1, 9) is None


def test_a_deadline_tells_how_far_it_came() -> None:
    """Restarting gives time again, but does not take a cancellation back."""
    late = Deadline(0.0, estimated=50)
    late.count(20)
    with pytest.raises(Exception, match=r"longer than 0 s .* 20 of about 50 datapoints were read"):
        late.check()
    again = Deadline(30.0)
    again.cancel("its caller left")
    again.restart()
    with pytest.raises(Exception, match="its caller left; 0 datapoints were read"):
        again.check()


def test_notices_are_kept_once_and_bounded() -> None:
    """Whoever asked gets each remark once."""
    deadline = Deadline(None)
    for number in range(100):
        deadline.notice(f"remark {number // 2}")
    assert deadline.notices[:2] == ["remark 0", "remark 1"]
    assert len(deadline.notices) == 20
