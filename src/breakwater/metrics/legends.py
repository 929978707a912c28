"""The legend of a line: its label, or the text a style word gave it with tags filled in."""

import re
from typing import Any, Final

import re2

from breakwater.metrics.language.durations import duration_text
from breakwater.metrics.language.escapes import unescape
from breakwater.metrics.language.expressions import DataExpression, Styled
from breakwater.metrics.plan import tags_label

_VARIABLE: Final = re.compile(r"\$(?:\(([^()]+)\)|([-_.a-zA-Z0-9]+))")
_GROUP: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_LONGEST: Final = 1024


def offset_of(styled: Styled) -> str:
    """The offset all data of an expression share, as text; `0w` when there is none or several."""
    offsets = {part.offset_ms for part in styled.inner.parts() if isinstance(part, DataExpression)}
    return duration_text(offsets.pop()) if len(offsets) == 1 else "0w"


class Legend:
    """Writes the legends of one styled expression's lines."""

    def __init__(self, styled: Styled) -> None:
        self._template = styled.get("legend")
        self._steps = styled.get("sed")
        self._offset = offset_of(styled)

    def text(self, tags: dict[str, str], label: str | None) -> str:
        """The legend of one line; a label of None is derived from the tags."""
        if self._template is None and label is not None:
            text = label
        else:
            known = {**tags, "atlas.offset": self._offset}
            if self._template is None:
                text = tags_label(known)
            else:
                text = _VARIABLE.sub(lambda found: _value(found, known), self._template)
        return text if self._steps is None else _substituted(text, self._steps)


def _value(found: re.Match[str], known: dict[str, str]) -> str:
    name = found[1] or found[2]
    return known.get(name, name)


def _substituted(text: str, steps: str) -> str:
    parts = steps.split(",")
    for start in range(0, len(parts), 3):
        source, replacement = unescape(parts[start]), unescape(parts[start + 1])
        text = _compiled(source).sub(lambda found: _filled(replacement, found), text)  # noqa: B023 - used at once
        text = text[:_LONGEST]
    return text


def _compiled(source: str) -> Any:
    return re2.compile(source)


def _filled(replacement: str, found: Any) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError, re2.error):
            return reference[0]

    return _GROUP.sub(group, replacement)
