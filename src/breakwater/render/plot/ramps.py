"""The legend of a heat map: its colours in a row, from few to many, with counts below."""

from typing import Final

import msgspec

from breakwater.render.heading import MARGIN, SMALL_SIZE
from breakwater.render.palette import Theme
from breakwater.render.plot.heatmap import ColourScale
from breakwater.render.plot.labels import tick_labels
from breakwater.render.plot.ticks import bent_ticks, linear_ticks, spread
from breakwater.render.svg import Canvas, number
from breakwater.render.text import elide, width

RAMP: Final = 38.0
_BAR: Final = 10.0
_WIDEST: Final = 300.0
_LABEL_SHARE: Final = 0.4


class Ramp(msgspec.Struct, frozen=True, kw_only=True):
    """The colours of one heat map and what is counted."""

    label: str
    colours: ColourScale


def draw_ramp(canvas: Canvas, theme: Theme, ramp: Ramp, *, top: float, across: float) -> None:
    """Draw one row of `RAMP` pixels in a picture `across` pixels wide."""
    room = across - 2 * MARGIN
    label = elide(ramp.label, _LABEL_SHARE * room, SMALL_SIZE)
    left = MARGIN + (width(label, SMALL_SIZE) + 12 if label else 0.0)
    length = min(_WIDEST, across - MARGIN - left - 14)
    canvas.text(MARGIN, top + 9, label, size=SMALL_SIZE, fill=theme.muted, whole=ramp.label)
    if length < 20:
        return
    colours = ramp.colours.colours
    share = length / len(colours)
    for place, colour in enumerate(colours):
        begin, end = left + place * share, left + (place + 1) * share
        box = f"M{number(begin)} {number(top)}H{number(end)}v{number(_BAR)}H{number(begin)}Z"
        canvas.path(box, fill=colour, is_crisp=True)
    _draw_counts(canvas, theme, ramp, left=left, length=length, baseline=top + _BAR + 13)


def _draw_counts(
    canvas: Canvas, theme: Theme, ramp: Ramp, *, left: float, length: float, baseline: float
) -> None:
    scale = ramp.colours.scale
    if scale.kind == "linear":
        step = spread(scale.low, scale.high, count=max(int(length / 60), 1), unit="number")[2]
        ticks = linear_ticks(scale.low, scale.high, step=step)
    else:
        ticks = bent_ticks(scale, height=length, gap=40.0, unit="number")
    taken = left - 20.0
    for tick, label in zip(ticks, tick_labels(ticks, "number"), strict=True):
        x = left + scale.share(tick) * length
        half = width(label, SMALL_SIZE) / 2
        if x - half < max(taken, 2.0):
            continue
        taken = x + half + 8
        canvas.text(x, baseline, label, size=SMALL_SIZE, fill=theme.muted, anchor="middle")
