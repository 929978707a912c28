"""Colours stay apart for colour-blind eyes, and texts can be read on their background."""

import itertools

import numpy as np
import pytest

from breakwater.render import THEMES, ChartError, Theme
from breakwater.render.chart import Values
from breakwater.render.palette import colour_of, series_colour, series_dash

# Full dichromacy in linear RGB: Vienot, Brettel and Mollon (1999) for red and green blindness;
# Machado, Oliveira and Fernandes (2009) for blue blindness.
EYES = {
    "full": np.eye(3),
    "protan": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "deutan": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> Values:
    """Linear RGB, 0 to 1, of `#rrggbb`."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: Values) -> Values:
    """CIELAB under D65."""
    xyz = (TO_XYZ @ np.clip(rgb, 0, 1)) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("eye", EYES)
def test_series_colours_stay_apart(theme: Theme, eye: str) -> None:
    """Any two series colours differ by at least ten units of CIELAB for every kind of eye."""
    seen = [lab(EYES[eye] @ linear(colour)) for colour in theme.series]
    distances = {
        pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]]))
        for pair in itertools.combinations(range(len(seen)), 2)
    }
    nearest = min(distances, key=lambda pair: distances[pair])
    assert distances[nearest] >= 10, (nearest, distances[nearest])


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_texts_can_be_read(theme: Theme) -> None:
    """Text colours have the contrast of WCAG 2 level AA against background and panel."""
    for ground in (theme.background, theme.panel):
        for colour in (theme.text, theme.muted, theme.danger, theme.good, theme.warning):
            one, other = (
                float(np.array([0.2126, 0.7152, 0.0722]) @ linear(c)) + 0.05
                for c in (colour, ground)
            )
            minimum = 3.0 if colour == theme.warning else 4.5
            assert max(one, other) / min(one, other) >= minimum, (colour, ground)


def test_ninth_series_is_dashed() -> None:
    """When colours begin again, dashes tell the series apart."""
    theme = THEMES["light"]
    assert series_colour(0, theme) == series_colour(8, theme)
    assert series_dash(0, theme) != series_dash(8, theme)


def test_only_meanings_and_hex_are_colours() -> None:
    """Nothing else gets into an attribute."""
    theme = THEMES["light"]
    assert colour_of("danger", theme) == theme.danger
    assert colour_of("#abc", theme) == "#abc"
    for wrong in ("red", "#12", '#123456"/>', "url(x)"):
        with pytest.raises(ChartError):
            colour_of(wrong, theme)
