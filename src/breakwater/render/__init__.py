"""Pictures: plots, line charts, bar tables, tiles and dependency graphs, as SVG and as PNG.

One visual language for the report, the command line and the HTTP API, in light and in dark.
Texts never overlap: each is measured with the fonts that come along, and elided when it does
not fit. Everything that comes from outside is escaped. Nothing is read from the system, so a
picture is the same bytes everywhere. Drawing is pure: records in, text out.
"""

from breakwater.render.bars import Bar, BarTable, bar_table
from breakwater.render.chart import Chart, Series, Span
from breakwater.render.errors import ChartError, PictureSizeError, RenderError
from breakwater.render.fonts import font_css
from breakwater.render.lines import line_chart
from breakwater.render.network import GraphEdge, GraphNode, graph
from breakwater.render.palette import THEMES, Theme, ThemeName
from breakwater.render.plot import (
    COLOUR_NAMES,
    PALETTES,
    Bound,
    Colour,
    HeatmapStyle,
    Layout,
    LegendKind,
    LineStatistics,
    LineStyle,
    Palette,
    Plot,
    PlotAxis,
    PlotLevel,
    PlotLine,
    PlotSpan,
    ScaleName,
    StatisticName,
    TickLabels,
    Vision,
    error_svg,
    find_palette,
    find_zone,
    parse_colour,
    plot_svg,
    ramp,
    seen,
    statistics_of,
)
from breakwater.render.raster import png
from breakwater.render.rasteriser import Rasteriser, RasteriserStats, shared_rasteriser
from breakwater.render.tiles import Figure, Tile, TileBoard, TileSection, tile_board
from breakwater.render.units import UnitName, format_value

__all__ = [
    "COLOUR_NAMES",
    "PALETTES",
    "THEMES",
    "Bar",
    "BarTable",
    "Bound",
    "Chart",
    "ChartError",
    "Colour",
    "Figure",
    "GraphEdge",
    "GraphNode",
    "HeatmapStyle",
    "Layout",
    "LegendKind",
    "LineStatistics",
    "LineStyle",
    "Palette",
    "PictureSizeError",
    "Plot",
    "PlotAxis",
    "PlotLevel",
    "PlotLine",
    "PlotSpan",
    "Rasteriser",
    "RasteriserStats",
    "RenderError",
    "ScaleName",
    "Series",
    "Span",
    "StatisticName",
    "Theme",
    "ThemeName",
    "TickLabels",
    "Tile",
    "TileBoard",
    "TileSection",
    "UnitName",
    "Vision",
    "bar_table",
    "error_svg",
    "find_palette",
    "find_zone",
    "font_css",
    "format_value",
    "graph",
    "line_chart",
    "parse_colour",
    "plot_svg",
    "png",
    "ramp",
    "seen",
    "shared_rasteriser",
    "statistics_of",
    "tile_board",
]
