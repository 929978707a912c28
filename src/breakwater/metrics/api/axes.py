"""The parameters of one value axis: `u.1`, `ylabel.1` and so on, or without a number for all."""

from typing import Final, Literal

import msgspec

from breakwater.metrics.api.reading import ParameterReader, finite
from breakwater.metrics.errors import QueryValueError
from breakwater.render import Bound, Palette, ScaleName, TickLabels, find_palette

MOST_AXES: Final = 10
AXIS_NAMES: Final = (
    "u",
    "l",
    "scale",
    "o",
    "stack",
    "ylabel",
    "tick_labels",
    "sort",
    "order",
    "palette",
    "heatmap_scale",
    "heatmap_u",
    "heatmap_l",
    "heatmap_palette",
    "heatmap_label",
)
SortName = Literal["legend", "min", "max", "avg", "count", "total", "last"]
SORTS: Final[dict[str, SortName]] = {
    "legend": "legend",
    "min": "min",
    "max": "max",
    "avg": "avg",
    "count": "count",
    "total": "total",
    "last": "last",
}
_SCALES: Final[dict[str, ScaleName]] = {
    "linear": "linear",
    "log": "log",
    "log-linear": "log-linear",
    "pow2": "pow2",
    "sqrt": "sqrt",
}
_TICK_LABELS: Final[dict[str, TickLabels]] = {
    "decimal": "decimal",
    "binary": "binary",
    "duration": "duration",
    "off": "off",
}
_ORDERS: Final = {"asc": False, "desc": True}


class HeatmapParameters(msgspec.Struct, frozen=True, kw_only=True):
    """How the heat map of an axis is coloured; no palette: a ramp towards the line's colour."""

    scale: ScaleName = "linear"
    upper: Bound = "auto-style"
    lower: Bound = "auto-style"
    palette: Palette | None = None
    label: str = ""


class AxisParameters(msgspec.Struct, frozen=True, kw_only=True):
    """One value axis as it was asked for.

    sort: None leaves the lines in the order of the program. palette: of this axis alone.
    """

    upper: Bound = "auto-style"
    lower: Bound = "auto-style"
    scale: ScaleName = "linear"
    is_stacked: bool = False
    label: str = ""
    tick_labels: TickLabels = "decimal"
    palette: Palette | None = None
    sort: SortName | None = None
    is_descending: bool = False
    heatmap: HeatmapParameters = HeatmapParameters()


def read_axis(
    reader: ParameterReader, number: int, theme: Literal["light", "dark"]
) -> tuple[AxisParameters, list[str]]:
    """The parameters of one axis and remarks on them; raises QueryValueError."""
    given = reader.on_axis(number)
    sort, remarks = _sort(given.text("sort"))

    def palette(text: str) -> Palette | None:
        return find_palette(text, theme) if text else None

    # A palette without a number is that of the whole graph, shared by its axes.
    numbered = reader.text(f"palette.{number}")
    own = reader.made(f"palette.{number}", "", palette) if numbered else None
    lower, upper = _bound(given, "l"), _bound(given, "u")
    _check_order(lower, upper, "l", "u")
    heat_lower, heat_upper = _bound(given, "heatmap_l"), _bound(given, "heatmap_u")
    _check_order(heat_lower, heat_upper, "heatmap_l", "heatmap_u")
    axis = AxisParameters(
        upper=upper,
        lower=lower,
        scale=given.choice("scale", _SCALES, "log" if given.flag("o") else "linear"),
        is_stacked=given.flag("stack"),
        label=given.text("ylabel"),
        tick_labels=given.choice("tick_labels", _TICK_LABELS, "decimal"),
        palette=own,
        sort=sort,
        is_descending=given.choice("order", _ORDERS, "asc"),
        heatmap=HeatmapParameters(
            scale=given.choice("heatmap_scale", _SCALES, "linear"),
            upper=heat_upper,
            lower=heat_lower,
            palette=given.made("heatmap_palette", "", palette),
            label=given.text("heatmap_label"),
        ),
    )
    return axis, remarks


def _sort(text: str) -> tuple[SortName | None, list[str]]:
    """A link with a sort that is not known still works; it is sorted by legend, with a remark."""
    if not text or text in SORTS:
        return SORTS.get(text), []
    remark = f"sort '{text[:40]}' is unknown, sorted by legend; there are {', '.join(SORTS)}"
    return "legend", [remark]


def _bound(given: ParameterReader, name: str) -> Bound:
    return given.one_of(name, "auto-style", _read_bound, "auto-style, auto-data or a number")


def _read_bound(text: str) -> Bound | None:
    if text == "auto-style":
        return "auto-style"
    return "auto-data" if text == "auto-data" else finite(text)


def _check_order(lower: Bound, upper: Bound, low_name: str, high_name: str) -> None:
    if isinstance(lower, float) and isinstance(upper, float) and lower >= upper:
        raise QueryValueError(
            f"parameter '{low_name}' is {lower:g} and '{high_name}' is {upper:g}; "
            "the lower bound must be below the upper"
        )
