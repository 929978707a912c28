"""The colours of every picture, in light and in dark.

Series colours were chosen so that any two of the first eight stay apart under full red, green
and blue blindness as well (a test measures it); meaning never rests on colour alone, dashes
and words repeat it. Colours with a meaning (`danger`, `warning`, `good`, `neutral`) are used
for nothing else.
"""

import re
from typing import Final, Literal

import msgspec

from breakwater.render.errors import ChartError

ThemeName = Literal["light", "dark"]
"""`light` for reports and print, `dark` for screens in a dim room."""

MEANINGS: Final = ("danger", "warning", "good", "neutral")
_HEX: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


class Theme(msgspec.Struct, frozen=True, kw_only=True):
    """Colours of one look, each as `#rrggbb`."""

    background: str
    panel: str
    text: str
    muted: str
    grid: str
    axis: str
    danger: str
    warning: str
    good: str
    neutral: str
    series: tuple[str, ...]


THEMES: Final[dict[str, Theme]] = {
    "light": Theme(
        background="#ffffff",
        panel="#f5f7fa",
        text="#17202b",
        muted="#5c6875",
        grid="#e6eaef",
        axis="#aab4bf",
        danger="#c8102e",
        warning="#b76e00",
        good="#0a7f5a",
        neutral="#75808c",
        series=(
            "#0b66b0",
            "#e08a00",
            "#0a8f6c",
            "#be3c85",
            "#4fb3e8",
            "#7861d8",
            "#8a6d1d",
            "#39424d",
        ),
    ),
    "dark": Theme(
        background="#11161d",
        panel="#1a212b",
        text="#e8edf3",
        muted="#98a4b3",
        grid="#252e3a",
        axis="#4a5666",
        danger="#ff5c6c",
        warning="#f2b134",
        good="#35c796",
        neutral="#8894a3",
        series=(
            "#4c9be8",
            "#f5a623",
            "#28e59c",
            "#f07ab4",
            "#9ad7ff",
            "#9f74ff",
            "#cbb26a",
            "#d5dbe3",
        ),
    ),
}


def colour_of(given: str, theme: Theme) -> str:
    """A meaning or a hex colour as hex; raises ChartError for anything else.

    Only these two forms are let through, because colours end up inside attributes.
    """
    if given in MEANINGS:
        return str(getattr(theme, given))
    if _HEX.fullmatch(given):
        return given
    raise ChartError(f"colour '{given}' is neither #rgb, #rrggbb nor one of {', '.join(MEANINGS)}")


def series_colour(index: int, theme: Theme) -> str:
    """Colour of the series at `index`; after the last colour they begin again."""
    return theme.series[index % len(theme.series)]


def series_dash(index: int, theme: Theme) -> str:
    """Dash pattern of the series at `index`: solid at first, then one pattern per round."""
    patterns = ("", "6 3", "2 3", "9 3 2 3")
    return patterns[(index // len(theme.series)) % len(patterns)]
