"""The legend of a line: its label, or the text a style word gave it with tags filled in.

In a text `$name` and `$(name)` stand for the value of a tag, for `atlas.offset`, and for a
statistic of the line: `atlas.avg`, `atlas.max`, `atlas.min`, `atlas.last`, `atlas.total`. What is
none of these stands for its own name. `:s` and `:decode` steps are applied in their order.
"""

import re
from typing import Any, Final

import numpy as np
import re2
from numpy.typing import NDArray

from breakwater.metrics.language.durations import duration_text
from breakwater.metrics.language.escapes import unescape
from breakwater.metrics.language.expressions import DataExpression
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.variables import filled
from breakwater.metrics.plan import tags_label
from breakwater.metrics.units import decimal_text

_BRACED: Final = re.compile(r"\$\{(\w+)\}")
_HEX: Final = re.compile(r"_([0-9a-fA-F]{2})")
_LONGEST: Final = 1024
_STATISTICS: Final = ("avg", "max", "min", "last", "total")

Values = NDArray[np.float64]


def offset_of(styled: Styled) -> str:
    """The offset all data of an expression share, as text; `0w` when there is none or several."""
    offsets = {part.offset_ms for part in styled.inner.parts() if isinstance(part, DataExpression)}
    return duration_text(offsets.pop()) if len(offsets) == 1 else "0w"


class Legend:
    """Writes the legends of one styled expression's lines; one takes a few ms at the worst."""

    def __init__(self, styled: Styled) -> None:
        self._template = styled.get("legend")
        self._steps = styled.get("sed")
        self._offset = offset_of(styled)
        self._needs_statistics = "atlas." in f"{self._template}{self._steps}"

    def text(self, tags: dict[str, str], label: str | None, values: Values | None = None) -> str:
        """The legend of one line; a label of None is derived from the tags.

        Without `values`, statistics stand for their names.
        """
        known = {**tags, "atlas.offset": self._offset}
        if self._template is None:
            text = tags_label(known) if label is None else label
        else:
            if self._needs_statistics and values is not None:
                known.update(statistics(values))
            text = filled(self._template, lambda name: known.get(name, name))
        return text if self._steps is None else _rewritten(text, self._steps, known)


def statistics(values: Values) -> dict[str, str]:
    """Statistics of a line by the names legends use, written for people."""
    there = values[~np.isnan(values)]
    if not len(there):
        return {f"atlas.{name}": decimal_text(float("nan")) for name in _STATISTICS}
    numbers = (there.mean(), there.max(), there.min(), there[-1], there.sum())
    return {
        f"atlas.{name}": decimal_text(float(number))
        for name, number in zip(_STATISTICS, numbers, strict=True)
    }


def _rewritten(text: str, steps: str, known: dict[str, str]) -> str:
    parts = steps.split(",")
    while parts:
        if parts[1] == ":decode":
            encoding, _, *parts = parts
            text = _decoded(text) if encoding == "hex" else text
        else:
            source, replacement, _, *parts = parts
            text = _substituted(text, unescape(source), unescape(replacement), known)
        text = text[:_LONGEST]
    return text


def _substituted(text: str, source: str, replacement: str, known: dict[str, str]) -> str:
    changed: str = re2.compile(source).sub(lambda found: _filled(replacement, found, known), text)
    return changed


def _filled(replacement: str, found: Any, known: dict[str, str]) -> str:
    def group(name: str) -> str:
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (ValueError, IndexError, KeyError, re2.error):
            return known.get(name, name)

    return filled(_BRACED.sub(r"$(\1)", replacement), group)


def _decoded(text: str) -> str:
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text)
