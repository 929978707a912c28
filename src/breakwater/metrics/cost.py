"""What a query would cost, worked out from its plans before it reads a datapoint.

Counts are upper bounds where the number of lines depends on values (`:filter`, `:topk`), and what
two expressions of a program share is counted once, as it is read once. O(parts of the program),
and the planning of data expressions that were not asked for lately.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.expressions import (
    Constant,
    DataExpression,
    Expression,
    GroupBy,
    LineAggregate,
    Percentiles,
)
from breakwater.metrics.language.generated import Random, Time, TimeSpan
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.wrapped import Distinct, Filtered, Ranked
from breakwater.metrics.reading.plan import Plan
from breakwater.metrics.reading.reach import Reach
from breakwater.metrics.selection.query import (
    And,
    Equal,
    Everything,
    HasKey,
    In,
    Not,
    Nothing,
    Or,
    Query,
)
from breakwater.metrics.selection.selection import Selection

_VALUE_BYTES: Final = 8
_MOST_DISTINCT: Final = 20_000
_MERGED: Final = frozenset(("percentile", "distinct"))
_ALONE: Final = (Constant, Random, Time, TimeSpan, LineAggregate)

PlanOf = Callable[[Selection], Plan]
CountOf = Callable[[str, str], int]
ReachOf = Callable[[Selection, Plan], Reach]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a program would read and answer over its window.

    series, input_datapoints: of all data expressions that differ, added up. lines, output_points:
    of the answer, at most. bytes: room for the arrays on the way. parts: steps of the evaluation.
    files: of the archive that may have to be read.
    """

    series: int = 0
    input_datapoints: int = 0
    lines: int = 0
    output_points: int = 0
    bytes: int = 0
    parts: int = 0
    files: int = 0

    def header(self) -> str:
        """The estimate as the value of a header, a dictionary of structured fields."""
        return _HEADER.format(*msgspec.structs.astuple(self))


_HEADER: Final = ", ".join(f"{name.replace('_', '-')}={{}}" for name in Estimate.__struct_fields__)


class Costing:
    """Adds up what a program costs over one window; `plan_of` gives the plan of what is read.

    reach_of: how much a selection reads, where some datapoints are kept coarser.
    """

    def __init__(self, window: Window, plan_of: PlanOf, reach_of: ReachOf | None = None) -> None:
        self._window = window
        self._plan_of = plan_of
        self._reach_of = reach_of or self._plain_reach
        self._lines: dict[Expression, int] = {}
        self._series = self._inputs = self._bytes = self._files = 0

    def of(self, program: tuple[Styled, ...]) -> Estimate:
        """The cost of a whole program; raises what planning raises."""
        lines = sum(self._lines_of(styled.inner) for styled in program)
        return Estimate(
            series=self._series,
            input_datapoints=self._inputs,
            lines=lines,
            output_points=lines * self._window.points,
            bytes=self._bytes,
            parts=len(self._lines),
            files=self._files,
        )

    def _lines_of(self, part: Expression) -> int:
        known = self._lines.get(part)
        if known is None:
            known = self._lines[part] = self._counted(part)
            self._bytes += known * self._window.points * _VALUE_BYTES
        return known

    def _counted(self, part: Expression) -> int:
        if isinstance(part, DataExpression | GroupBy):
            return self._data(part.selection)
        inside = [self._lines_of(each) for each in evaluated(part)]
        most = max(inside, default=1)
        if isinstance(part, _ALONE):
            return 1
        if isinstance(part, Percentiles | Distinct):
            return self._merged(part)
        if isinstance(part, Ranked):
            return min(most, part.count + bool(part.others))
        return most

    def _data(self, selection: Selection) -> int:
        plan = self._plan_of(selection)
        reach = self._reach_of(selection, plan)
        is_apart = selection.keeps_series or self._window.multiple > 1
        self._series += reach.series
        self._inputs += reach.datapoints
        self._files += reach.files
        # Sums are folded at the store's own step beside the count of what was added.
        self._bytes += len(plan.tags) * reach.steps * _VALUE_BYTES * (2 if is_apart else 1)
        return len(plan.tags)

    def _plain_reach(self, selection: Selection, plan: Plan) -> Reach:
        del selection
        steps = self._window.points * self._window.multiple
        return Reach(len(plan.rows), len(plan.rows) * steps, steps)

    def _merged(self, part: Percentiles | Distinct) -> int:
        """Lines that are made of many each: one for each of the user's own groups."""
        each = len(part.percents) if isinstance(part, Percentiles) else 1
        data = next((inner for inner in part.parts() if isinstance(inner, GroupBy)), None)
        if data is None:
            return each
        tags = self._plan_of(data.selection).tags
        own = [key for key in data.keys if key not in _MERGED]
        if not own or len(tags) > _MOST_DISTINCT:
            return each * (len(tags) if own else 1)
        return each * len({tuple(line[key] for key in own) for line in tags})


def evaluated(part: Expression) -> Iterator[Expression]:
    """The parts a part is worked out from, not those it is only printed as."""
    if isinstance(part, NamedRewrite):
        yield part.evaluated
        return
    if isinstance(part, Filtered):
        yield part.inner
        yield part.bound()
        return
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, Expression):
            yield value


def selections(program: tuple[Styled, ...]) -> list[Selection]:
    """What a program reads, each once, in the order of the program."""
    found: dict[Selection, None] = {}
    seen: set[Expression] = set()
    pending = [styled.inner for styled in reversed(program)]
    while pending:
        part = pending.pop()
        if part in seen:
            continue
        seen.add(part)
        if isinstance(part, DataExpression | GroupBy):
            found[part.selection] = None
        else:
            pending.extend(reversed(list(evaluated(part))))
    return list(found)


def most_rows(query: Query, count_of: CountOf, all_rows: int) -> int | None:
    """A bound of how many rows match, found without looking for them.

    None where a search would have to try values one after the other.
    """
    match query:
        case Nothing():
            bound: int | None = 0
        case Equal(key, value):
            bound = count_of(key, value)
        case In(key, values):
            bound = sum(count_of(key, value) for value in values)
        case And(left, right) | Or(left, right):
            bounds = [most_rows(each, count_of, all_rows) for each in (left, right)]
            known = [each for each in bounds if each is not None]
            if len(known) < len(bounds):
                bound = None
            else:
                bound = min(known) if isinstance(query, And) else sum(known)
        case Not(inner):
            bound = None if most_rows(inner, count_of, all_rows) is None else all_rows
        case Everything() | HasKey():
            bound = all_rows
        case _:
            bound = None
    return bound
