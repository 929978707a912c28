"""Words on bucket counts and registers: percentiles, samples in a range, distinct values."""

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.expressions import (
    Aggregate,
    Expression,
    GroupBy,
    Percentiles,
)
from breakwater.metrics.language.named import Meaning
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.rewrites import named
from breakwater.metrics.language.wrapped import Distinct
from breakwater.metrics.selection.escapes import number_text
from breakwater.metrics.selection.query import Compare, Query, both, either
from breakwater.model.percentiles import UPPER_BOUNDS, bucket_of


@word("percentiles", "data:GroupedData percents:StringList -- Expr")
def percentiles(data: Aggregate | GroupBy, percents: list[str]) -> Expression:
    """Estimate percentiles from bucket counts; group the data before, not after."""
    values = sorted({_percent(text) for text in percents})
    if not values:
        raise QueryValueError("the list of percentiles is empty; name at least one, 0 to 100")
    return _estimates(data, tuple(values))


def _estimates(data: Aggregate | GroupBy, percents: tuple[float, ...]) -> Expression:
    inner = data.inner if isinstance(data, GroupBy) else data
    keys = data.keys if isinstance(data, GroupBy) else ()
    summed = Aggregate(inner.query, inner.consolidation, inner.offset_ms)
    wider = (*(key for key in keys if key != "percentile"), "percentile")
    return Percentiles(GroupBy(summed, wider), percents)


@word("median", "data:GroupedData -- Expr")
def median(data: Aggregate | GroupBy) -> Expression:
    """The percentile 50."""
    return _estimates(data, (50.0,))


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise QueryValueError(f"'{text}' is not a percentile; expected 0 to 100") from error
    if not 0.0 <= value <= 100.0:
        raise QueryValueError(f"invalid percentile {number_text(value)}; expected 0 to 100")
    return value


def _samples(original: Query | Expression, *bounds: str) -> Expression:
    assert isinstance(original, Query)
    low, high = (float(bound) for bound in bounds) if bounds else (0.0, float(UPPER_BOUNDS[-1]))
    amounts = _between("D", low, high)
    times = _between("T", low * 1e9, high * 1e9)
    return Aggregate(both(original, either(amounts, times)))


def _between(prefix: str, low: float, high: float) -> Query:
    first, last = (
        f"{prefix}{bucket_of(min(int(bound), UPPER_BOUNDS[-1])):04X}" for bound in (low, high)
    )
    return both(Compare("percentile", first, "ge"), Compare("percentile", last, "le"))


_SAMPLE_COUNT = Meaning("sample-count", _samples)


@word("sample-count", "query:Query least:Double most:Double -- Expr", is_rewrite=True)
def sample_count(query: Query, least: float, most: float) -> Expression:
    """Estimate how many samples lay in a range, in seconds for timers."""
    if not 0.0 <= least < most < float("inf"):
        raise QueryValueError(
            f"invalid range {number_text(least)} to {number_text(most)}; "
            "expected numbers from 0 that ascend"
        )
    return named(_SAMPLE_COUNT, query, number_text(least), number_text(most))


@word("sample-count", "query:Query -- Expr", is_rewrite=True)
def all_samples(query: Query) -> Expression:
    """Count all samples of a percentile approximation."""
    return named(_SAMPLE_COUNT, query)


@word("approx-distinct", "lines:Expr -- Expr")
def approx_distinct(lines: Expression) -> Expression:
    """Estimate how many distinct values were counted."""
    return Distinct(lines)
