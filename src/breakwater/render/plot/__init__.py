"""Plots over time: several value axes, stacks, heat maps, spans, time zones, a legend with numbers.

This is what the graph endpoint draws. A plot is a description (`Plot`) and drawing is a pure
function of it (`plot_svg`). The modules follow the eye: `layout` says where everything stands,
`axes`, `scales` and `ticks` where a value is and which are marked, `area` draws lines, stacks
and heat maps, `furniture` the grid and the axes, `below` the legend and the notices. Texts are
measured before they are placed and never overlap.
"""

from breakwater.render.plot.faults import error_svg
from breakwater.render.plot.legend import statistics_of
from breakwater.render.plot.model import (
    Bound,
    HeatmapStyle,
    Layout,
    LegendKind,
    LineStatistics,
    LineStyle,
    Plot,
    PlotAxis,
    PlotLevel,
    PlotLine,
    PlotSpan,
    ScaleName,
    StatisticName,
    TickLabels,
    Vision,
)
from breakwater.render.plot.palettes import (
    COLOUR_NAMES,
    PALETTES,
    Colour,
    Palette,
    find_palette,
    parse_colour,
    ramp,
)
from breakwater.render.plot.picture import plot_svg
from breakwater.render.plot.vision import seen
from breakwater.render.plot.zones import find_zone

__all__ = [
    "COLOUR_NAMES",
    "PALETTES",
    "Bound",
    "Colour",
    "HeatmapStyle",
    "Layout",
    "LegendKind",
    "LineStatistics",
    "LineStyle",
    "Palette",
    "Plot",
    "PlotAxis",
    "PlotLevel",
    "PlotLine",
    "PlotSpan",
    "ScaleName",
    "StatisticName",
    "TickLabels",
    "Vision",
    "error_svg",
    "find_palette",
    "find_zone",
    "parse_colour",
    "plot_svg",
    "ramp",
    "seen",
    "statistics_of",
]
