"""Pictures: line charts, bar tables and dependency graphs, as SVG text and as PNG.

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
from breakwater.render.raster import png
from breakwater.render.units import UnitName, format_value

__all__ = [
    "THEMES",
    "Bar",
    "BarTable",
    "Chart",
    "ChartError",
    "GraphEdge",
    "GraphNode",
    "PictureSizeError",
    "RenderError",
    "Series",
    "Span",
    "Theme",
    "ThemeName",
    "UnitName",
    "bar_table",
    "font_css",
    "format_value",
    "graph",
    "line_chart",
    "png",
]
