"""How each line looks once automatic colours and the habits of its style are settled."""

import itertools
from typing import Final

import msgspec

from breakwater.render.palette import Theme
from breakwater.render.plot.model import Plot, PlotLine
from breakwater.render.plot.palettes import find_palette
from breakwater.render.plot.srgb import channels, written

_CROWD: Final = 40
_SPAN_FILL: Final = 0.22
_AREA_FILL: Final = 0.2
_STACK_FILL: Final = 0.82


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Colour and width of a line's stroke, its opacity and that of its filling."""

    colour: str
    width: float
    opacity: float
    fill: float


def looks_of(plot: Plot) -> list[list[Look]]:
    """A look for every line of every axis, in order."""
    usual = find_palette("default", plot.theme)
    automatic = itertools.count()
    is_crowded = sum(len(axis.lines) for axis in plot.axes) > _CROWD
    return [
        [
            Look(
                colour=line.colour or usual.pick(next(automatic)).hex,
                width=min(line.width, 1.0) if is_crowded and line.width < 2 else line.width,
                opacity=line.opacity,
                fill=_fill(line),
            )
            for line in axis.lines
        ]
        for axis in plot.axes
    ]


def _fill(line: PlotLine) -> float:
    """Fillings are lighter than strokes, unless an opacity was asked for."""
    if line.opacity < 1:
        return line.opacity
    return {"vspan": _SPAN_FILL, "area": _AREA_FILL, "stack": _STACK_FILL}.get(line.style, 1.0)


def toned(colour: str, theme: Theme) -> str:
    """The colour mixed with that of texts, so that small words in it can be read."""
    pairs = zip(channels(colour), channels(theme.text), strict=True)
    red, green, blue = (round(0.6 * one + 0.4 * other) for one, other in pairs)
    return written(red, green, blue)
