"""Words that say how lines are shown; they travel with the expression and change no value."""

import re
from typing import Final

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.escapes import escape
from breakwater.metrics.language.expressions import Expression, Styled
from breakwater.metrics.language.patterns import pattern as checked_pattern
from breakwater.metrics.language.registry import word

LINE_STYLES: Final = ("line", "area", "stack", "vspan", "heatmap")
_HEX_COLOR: Final = re.compile(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}")
_NAMED_COLOR: Final = re.compile(r"[a-zA-Z_]+[0-9]*")
_CHOICES: Final = {
    "sort": ("legend", "min", "max", "avg", "count", "total", "last"),
    "order": ("asc", "desc"),
    "ls": LINE_STYLES,
    "decode": ("none", "hex"),
}


@word("legend", "lines:Styled text:String -- Styled")
def legend(lines: Styled, text: str) -> Styled:
    """The text of the legend; `$key` or `$(key)` stands for the value of a tag."""
    return lines.with_setting("legend", text)


@word("color", "lines:Styled color:String -- Styled")
def color(lines: Styled, text: str) -> Styled:
    """A color: 3, 6 or 8 hexadecimal digits, or a name."""
    if not _HEX_COLOR.fullmatch(text) and not _NAMED_COLOR.fullmatch(text):
        raise QueryValueError(f"invalid color '{text}'; expected 3, 6 or 8 hex digits or a name")
    return lines.without("alpha", "palette").with_setting("color", text)


@word("alpha", "lines:Styled alpha:String -- Styled")
def alpha(lines: Styled, text: str) -> Styled:
    """Opacity as two hexadecimal digits; a color that is set takes it in."""
    if not re.fullmatch(r"[0-9a-fA-F]{2}", text):
        raise QueryValueError(f"invalid alpha '{text}'; expected two hex digits, 00 to ff")
    set_color = lines.get("color")
    if set_color is None or not _HEX_COLOR.fullmatch(set_color):
        return lines.with_setting("alpha", text)
    full = "".join(2 * digit for digit in set_color) if len(set_color) == 3 else set_color
    return lines.with_setting("color", text + full[-6:])


@word("palette", "lines:Styled palette:String -- Styled")
def palette(lines: Styled, name: str) -> Styled:
    """The palette lines take their colors from."""
    return lines.without("color", "alpha").with_setting("palette", name)


@word("axis", "lines:Styled number:Int -- Styled")
def axis(lines: Styled, number: int) -> Styled:
    """The axis the lines belong to, 0 to 9."""
    if not 0 <= number <= 9:
        raise QueryValueError(f"invalid axis {number}; allowed: 0 to 9")
    return lines.with_setting("axis", str(number))


@word("lw", "lines:Styled width:Int -- Styled")
def line_width(lines: Styled, width: int) -> Styled:
    """The width of the lines in pixels."""
    return lines.with_setting("lw", str(width))


@word("limit", "lines:Styled count:Int -- Styled")
def limit(lines: Styled, count: int) -> Styled:
    """How many lines are shown at most."""
    return lines.with_setting("limit", str(count))


@word("head", "lines:Styled count:Int -- Styled")
def head(lines: Styled, count: int) -> Styled:
    """The first lines in the order of their legends."""
    return lines.with_setting("sort", "legend").with_setting("limit", str(count))


def _declare_choice(name: str) -> None:
    @word(name, f"lines:Styled {name}:String -- Styled")
    def choose(lines: Styled, text: str) -> Styled:
        if text not in _CHOICES[name]:
            raise QueryValueError(f"invalid {name} '{text}'; allowed: {', '.join(_CHOICES[name])}")
        return lines.with_setting(name, text)


for _name in _CHOICES:
    _declare_choice(_name)


def _declare_line_style(name: str) -> None:
    @word(name, "lines:Styled -- Styled")
    def line_style(lines: Styled) -> Styled:
        return lines.with_setting("ls", name)


for _name in LINE_STYLES:
    _declare_line_style(_name)


@word("s", "lines:Styled pattern:String replacement:String -- Styled")
def substitute(lines: Styled, source: str, replacement: str) -> Styled:
    """Replace what a pattern finds in the legend; `$1` or `$name` stands for a group."""
    checked_pattern(source)
    step = f"{escape(source)},{escape(replacement)},:s"
    before = lines.get("sed")
    return lines.with_setting("sed", step if before is None else f"{before},{step}")


@word("strip-style", "lines:Styled -- Expr")
def strip_style(lines: Styled) -> Expression:
    """The expression without any style."""
    return lines.inner
