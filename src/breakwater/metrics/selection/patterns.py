r"""Regular expressions on tag values: RE2, anchored at the start, with the easy cases made cheap.

RE2 takes linear time whatever the pattern, but a call costs microseconds; so the literal text a
pattern begins with narrows the values by bisection, and a pattern that is nothing but literal
text never reaches RE2. Inline flags, back-references and look-around are refused.
"""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec
import re2

from breakwater.metrics.errors import QueryValueError

_META: Final = frozenset(".^$*+?()[]{}|\\")
_QUANTIFIERS: Final = frozenset("*+?{")
_LONGEST: Final = 4096
_INLINE_FLAGS: Final = re.compile(r"\(\?[a-zA-Z-]+[:)]")


class Pattern(msgspec.Struct, frozen=True):
    """A checked pattern: what was written, whether case counts."""

    source: str
    ignores_case: bool = False

    def matches(self, value: str) -> bool:
        """Whether `value` begins with a match."""
        if not self.ignores_case:
            prefix, is_all = literal_prefix(self.source)
            if is_all or not value.startswith(prefix):
                return value.startswith(prefix)
        return _compiled(self.source, self.ignores_case).match(value) is not None

    def prefix(self) -> tuple[str, bool]:
        """Literal text every match begins with, and whether that is the whole pattern."""
        return ("", False) if self.ignores_case else literal_prefix(self.source)


def pattern(source: str, *, ignores_case: bool = False) -> Pattern:
    """Check a pattern; raises QueryValueError saying what is wrong with it."""
    if len(source) > _LONGEST:
        raise QueryValueError(
            f"pattern of {len(source)} characters; at most {_LONGEST} are allowed"
        )
    if _INLINE_FLAGS.search(source):
        raise QueryValueError(
            f"inline flags are not allowed in pattern '{source}'; use :reic to ignore case"
        )
    _compiled(source, ignores_case)
    return Pattern(source, ignores_case)


@lru_cache(maxsize=1000)
def literal_prefix(source: str) -> tuple[str, bool]:
    """The literal text that starts a pattern, and whether nothing follows it."""
    if "|" in source:
        return "", False
    text: list[str] = []
    position = 0
    while position < len(source):
        character, width = source[position], 1
        if character == "\\":
            following = source[position + 1 : position + 2]
            if not following or following.isalnum():
                break
            character, width = following, 2
        elif character in _META:
            break
        text.append(character)
        position += width
    if position < len(source) and source[position] in _QUANTIFIERS and text:
        text.pop()
    is_all = position == len(source) or source[position:] == ".*"
    return "".join(text), is_all


@lru_cache(maxsize=1000)
def _compiled(source: str, ignores_case: bool) -> Any:  # noqa: FBT001 - cache key; re2 is untyped
    options = re2.Options()
    options.case_sensitive = not ignores_case
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(source, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        shown = reason.decode() if isinstance(reason, bytes) else reason
        raise QueryValueError(
            f"pattern '{source}' is not usable: {shown} "
            "(RE2 syntax; no back-references, no look-around)"
        ) from error
