"""Words that say how lines are shown; they travel with the expression and change no value."""

import re
from typing import Final

from breakwater.metrics.errors import InvalidTimeError, QueryValueError
from breakwater.metrics.grid.durations import parse_duration
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.machine import Machine, tokens
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.rewrites import add_keys
from breakwater.metrics.language.styled import OFFSETS, Styled
from breakwater.metrics.selection.escapes import escape, keys_text
from breakwater.metrics.selection.patterns import pattern as checked_pattern

LINE_STYLES: Final = ("line", "area", "stack", "vspan", "heatmap")
_HEX_COLOR: Final = re.compile(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}")
_NAMED_COLOR: Final = re.compile(r"[a-zA-Z_]+[0-9]*")
_LONGEST_SUBSTITUTION: Final = 2048
_CHOICES: Final = {
    "sort": ("legend", "min", "max", "avg", "count", "total", "last"),
    "order": ("asc", "desc"),
    "ls": LINE_STYLES,
}
ENCODINGS: Final = ("none", "hex")
_EPIC_VIZ: Final = (
    ":des-epic-signal,:vspan,40,:alpha,triggered,:legend,line,:get,line,:legend,"
    "minPredNoiseBound,:get,minPredNoiseBound,:legend,"
    "minPredPercentBound,:get,minPredPercentBound,:legend,"
    "maxPredNoiseBound,:get,maxPredNoiseBound,:legend,"
    "maxPredPercentBound,:get,maxPredPercentBound,:legend"
)


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


@word("palette", "lines:Styled colors:StringList -- Styled")
def palette_of(lines: Styled, colors: list[str]) -> Styled:
    """The colors the lines take in turn."""
    bad = next((text for text in colors if not _HEX_COLOR.fullmatch(text)), None)
    if bad is not None or not colors:
        raise QueryValueError(f"invalid palette {colors}; expected colors of 3, 6 or 8 hex digits")
    return lines.without("color", "alpha").with_setting("palette", keys_text(tuple(colors)))


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
    """How many lines are shown at most; another name of `limit`."""
    return lines.with_setting("limit", str(count))


def _declare_choice(name: str) -> None:
    @word(name, f"lines:Styled {name}:String -- Styled")
    def choose(lines: Styled, text: str) -> Styled:
        """Choose one of a few settings of that name."""
        if text not in _CHOICES[name]:
            raise QueryValueError(f"invalid {name} '{text}'; allowed: {', '.join(_CHOICES[name])}")
        return lines.with_setting(name, text)


for _name in _CHOICES:
    _declare_choice(_name)


def _declare_line_style(name: str) -> None:
    @word(name, "lines:Styled -- Styled")
    def line_style(lines: Styled) -> Styled:
        """Draw the lines in that style."""
        return lines.with_setting("ls", name)


for _name in LINE_STYLES:
    _declare_line_style(_name)


@word("s", "lines:Styled pattern:String replacement:String -- Styled")
def substitute(lines: Styled, source: str, replacement: str) -> Styled:
    """Replace what a pattern finds in the legend; `$1` or `$name` stands for a group or a tag."""
    checked_pattern(source)
    return _with_step(lines, f"{escape(source)},{escape(replacement)},:s")


@word("decode", "lines:Styled encoding:String -- Styled")
def decode(lines: Styled, encoding: str) -> Styled:
    """Undo an encoding of the legend: hex reads `_21` as `!`."""
    if encoding not in ENCODINGS:
        raise QueryValueError(f"invalid encoding '{encoding}'; allowed: {', '.join(ENCODINGS)}")
    return _with_step(lines, f"{encoding},:decode")


def _with_step(lines: Styled, step: str) -> Styled:
    before = lines.get("sed")
    steps = step if before is None else f"{before},{step}"
    if len(steps) > _LONGEST_SUBSTITUTION:
        raise QueryValueError(
            f"the substitutions of a legend have {len(steps)} characters; "
            f"at most {_LONGEST_SUBSTITUTION} are allowed"
        )
    return lines.with_setting("sed", steps)


@word("offset", "lines:Styled lengths:StringList -- Styled")
def offsets(lines: Styled, lengths: list[str]) -> Styled:
    """Show the expression once for each offset."""
    if not lengths:
        raise QueryValueError("the list of offsets is empty; name at least one, such as 1w")
    try:
        for length in lengths:
            parse_duration(length)
    except InvalidTimeError as error:
        raise QueryValueError(str(error)) from error
    return lines.with_setting(OFFSETS, keys_text(tuple(lengths)))


@word("percentiles-heatmap", "lines:Styled -- Styled")
def percentiles_heatmap(lines: Styled) -> Styled:
    """A heat map of the buckets of a timer or distribution summary."""
    grouped = add_keys(lines, ("percentile",))
    assert isinstance(grouped, Styled)
    return grouped.with_setting("ls", "heatmap")


@word("des-epic-viz", " -- *", needs_machine=True)
def epic_viz(machine: Machine) -> None:
    """Show a line, the bounds around its prediction, and where it left them."""
    machine.run_macro("des-epic-viz", [token.text for token in tokens(_EPIC_VIZ)])


@word("strip-style", "lines:Styled -- Expr")
def strip_style(lines: Styled) -> Expression:
    """The expression without any style."""
    return lines.inner
