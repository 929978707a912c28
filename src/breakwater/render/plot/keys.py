"""Which entries the legend gets: one a line, under the name of its axis when there are several."""

from collections.abc import Sequence
from typing import Final

from breakwater.render.palette import Theme
from breakwater.render.plot.axes import unit_of
from breakwater.render.plot.below import Below
from breakwater.render.plot.legend import Entry, numbers_of
from breakwater.render.plot.looks import Look, toned
from breakwater.render.plot.model import Plot, PlotAxis

_MOST_ENTRIES: Final = 120


def below_of(
    plot: Plot, looks: Sequence[Sequence[Look]], theme: Theme, *, notices: Sequence[str] = ()
) -> Below:
    """What stands below the plot; notices: further ones, said by the plot itself."""
    entries: list[Entry] = []
    left_out = 0
    if plot.legend != "none":
        for number, axis in enumerate(plot.axes):
            found = _entries(plot, axis, looks[number])
            if len(plot.axes) > 1 and found:
                colour = toned(axis_colour(axis, looks[number], theme), theme)
                name = axis.label or f"axis {number}"
                entries.append(Entry(name=name, colour=colour, is_title=True))
            entries += found
            left_out += sum(line.style != "heatmap" for line in axis.lines) - len(found)
    return Below(
        ramps=sum(_is_heatmap(axis) for axis in plot.axes) if plot.legend != "none" else 0,
        entries=entries,
        heads=list(plot.statistics) if plot.legend == "full" else [],
        left_out=left_out,
        notices=[*plot.notices, *notices],
        footer=plot.footer,
    )


def axis_colour(axis: PlotAxis, looks: Sequence[Look], theme: Theme) -> str:
    """The colour an axis goes by when there are several: its own or its first line's."""
    return axis.colour or (looks[0].colour if looks else theme.muted)


def _is_heatmap(axis: PlotAxis) -> bool:
    return any(line.style == "heatmap" for line in axis.lines)


def _entries(plot: Plot, axis: PlotAxis, looks: Sequence[Look]) -> list[Entry]:
    names = plot.statistics if plot.legend == "full" else ()
    shown = [pair for pair in zip(axis.lines, looks, strict=True) if pair[0].style != "heatmap"]
    return [
        Entry(
            name=line.label,
            colour=look.colour,
            style=line.style,
            opacity=max(look.fill, 0.35) if line.style == "vspan" else look.fill,
            dash=line.dash,
            hint=line.query,
            numbers=numbers_of(line, names, unit_of(axis)),
        )
        for line, look in shown[:_MOST_ENTRIES]
    ]
