"""Expressions around one other expression that keep its grouping: renaming, state, statistics."""

from breakwater.metrics.grid.durations import iso_text
from breakwater.metrics.language.expressions import DataExpression, Expression
from breakwater.metrics.selection.escapes import escape, number_text


class Wrapped(Expression, frozen=True):
    """Something done to each line of an expression."""

    inner: Expression

    @property
    def grouping(self) -> tuple[str, ...]:
        """That of the inner expression."""
        return self.inner.grouping


class Renamed(Wrapped, frozen=True):
    """`:as`: the same lines with one tag key called differently."""

    original: str
    replacement: str

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{escape(self.original)},{escape(self.replacement)},:as"

    @property
    def grouping(self) -> tuple[str, ...]:
        """That of the inner expression under the new name."""
        return tuple(
            self.replacement if key == self.original else key for key in self.inner.grouping
        )


class Stateful(Wrapped, frozen=True):
    """Each point depends on those before it: `rolling-*`, `delay`, `des`, `integral` and more."""

    word: str
    arguments: tuple[int | float, ...] = ()

    def text(self) -> str:
        """The canonical program."""
        if self.word == "trend":
            return f"{self.inner.text()},{iso_text(int(self.arguments[0]))},:trend"
        listed = [
            str(value) if isinstance(value, int) else number_text(value) for value in self.arguments
        ]
        return ",".join([self.inner.text(), *listed, f":{self.word}"])


class Statistic(Wrapped, frozen=True):
    """`:stat`: one statistic of the whole line, at every point."""

    name: str

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{self.name},:stat"


class StatisticOf(Expression, frozen=True):
    """`:stat-max` and its kin: a statistic of whatever `:filter` is applied to."""

    name: str

    def text(self) -> str:
        """The canonical program."""
        return f":stat-{self.name}"


class Filtered(Wrapped, frozen=True):
    """Whole lines, kept where the condition is true at any point."""

    condition: Expression

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{self.condition.text()},:filter"

    def bound(self) -> Expression:
        """The condition with `:stat-*` put in place as statistics of what is filtered."""

        def change(part: Expression) -> Expression | None:
            return Statistic(self.inner, part.name) if isinstance(part, StatisticOf) else None

        return self.condition.rewrite(change)


class Ranked(Wrapped, frozen=True):
    """The lines that come first by a statistic, and perhaps the rest as one line.

    `others` is empty or sum, avg, min or max.
    """

    is_top: bool
    statistic: str
    count: int
    others: str = ""

    @property
    def word(self) -> str:
        """The word that builds it."""
        end = f"-others-{self.others}" if self.others else ""
        return f"{'topk' if self.is_top else 'bottomk'}{end}"

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{self.statistic},{self.count},:{self.word}"


class Consolidated(Wrapped, frozen=True):
    """Points made one for each interval of a length, and repeated over it."""

    function: str
    length_ms: int

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},{self.function},{iso_text(self.length_ms)},:consolidate"


class Distinct(Wrapped, frozen=True):
    """How many distinct values were counted, estimated from HyperLogLog registers."""

    def text(self) -> str:
        """The canonical program."""
        return f"{self.inner.text()},:approx-distinct"

    def label(self) -> str:
        """The readable form."""
        first = next(
            (part for part in self.inner.parts() if isinstance(part, DataExpression)), None
        )
        return "approx-distinct" if first is None else f"approx-distinct({first.query.label()})"
