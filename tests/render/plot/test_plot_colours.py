"""Palettes, colours as written in queries, and how other eyes see them."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.render import (
    COLOUR_NAMES,
    PALETTES,
    THEMES,
    ChartError,
    Colour,
    Vision,
    find_palette,
    parse_colour,
    ramp,
)
from breakwater.render.plot.srgb import channels, linear
from breakwater.render.plot.vision import MATRICES, seen

HEXES = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")
VISIONS = get_args(Vision)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`."""
    red, green, blue = (linear(level) for level in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("f00", Colour("#ff0000")),
        ("FF8000", Colour("#ff8000")),
        ("#0af", Colour("#00aaff")),
        ("80ff0000", Colour("#ff0000", 128 / 255)),
        ("00ffffff", Colour("#ffffff", 0.0)),
        ("black", Colour("#000000")),
    ],
)
def test_colours_are_read(text: str, colour: Colour) -> None:
    """Three, six or eight digits, the opacity first, or a name."""
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["", "12", "12345", "nocolour", "url(#x)", '"/>', "#12345g"])
def test_other_words_are_no_colours(text: str) -> None:
    """Anything else is refused with what is allowed, so that nothing else gets into a picture."""
    with pytest.raises(ChartError, match="hex digits"):
        parse_colour(text)


@pytest.mark.parametrize("name", COLOUR_NAMES)
def test_named_colours_are_colours(name: str) -> None:
    """Every name stands for a full colour."""
    assert len(channels(parse_colour(name).hex)) == 3


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_are_found_by_name(name: str) -> None:
    """Every palette has colours of the right form, no two equal, and starts anew at its end."""
    found = find_palette(name)
    colours = [colour.hex for colour in found.colours]
    assert len(set(colours)) == len(colours) == len(PALETTES[name])
    assert found.pick(len(colours)) == found.pick(0)
    assert all(len(channels(colour)) == 3 for colour in colours)


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_can_be_seen_in_the_dark(name: str) -> None:
    """No colour vanishes on the dark background."""
    ground = luminance(THEMES["dark"].background) + 0.05
    for colour in find_palette(name, "dark").colours:
        assert (luminance(colour.hex) + 0.05) / ground >= 1.7


def test_colour_blind_safe_palettes_go_by_the_names_people_use() -> None:
    """The safe palette is found by the name of its purpose."""
    assert find_palette("colorBlind").colours == find_palette("okabe-ito").colours


def test_palettes_can_be_listed() -> None:
    """A list of colours is a palette, in both ways it is written."""
    expected = (Colour("#ff0000"), Colour("#0000ff", 128 / 255))
    assert find_palette("(,f00,800000ff,)").colours == expected
    assert find_palette("colors:f00,800000ff").colours == expected
    for wrong in ("(,)", "colors:", "(,zz,)", "nosuch", "hash:nosuch", "(," + "f00," * 300 + ")"):
        with pytest.raises(ChartError):
            find_palette(wrong)


@given(st.text(), st.integers(0, 50))
def test_hashed_palettes_go_by_label(label: str, index: int) -> None:
    """A hashed palette gives a label the same colour wherever it stands."""
    found = find_palette("hash:armytage")
    assert found.is_hashed
    assert found.pick(index, label) == found.pick(0, label)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_heat_ramps_grow_evenly(theme: object) -> None:
    """From few to many the lightness goes one way, away from the background."""
    found = [luminance(colour) for colour in ramp(theme)]  # type: ignore[arg-type]  # a Theme by its ids
    is_light = theme is THEMES["light"]
    assert found == sorted(found, reverse=is_light)
    mixed = ramp(THEMES["light"], "#aa0000")
    assert mixed[-1] == "#aa0000"
    assert len(set(mixed)) == 9


@pytest.mark.parametrize("vision", VISIONS)
def test_every_eye_sees_greys_as_they_are(vision: Vision) -> None:
    """Rows of every matrix add up to one, so white, black and greys stay."""
    for row in MATRICES[vision]:
        assert sum(row) == pytest.approx(1, abs=2e-6)
    for level in (0, 60, 128, 200, 255):
        grey = f"#{level:02x}{level:02x}{level:02x}"
        assert seen(grey, vision) == grey


@given(HEXES)
def test_colour_blind_eyes_merge_colours(colour: str) -> None:
    """Without cones all is grey of the same luminance; normal eyes see what is there."""
    assert seen(colour, "normal") == colour
    grey = seen(colour, "achromatopsia")
    assert len(set(channels(grey))) == 1
    assert luminance(grey) == pytest.approx(luminance(colour), abs=0.01)


def test_red_and_green_come_near_for_those_who_confuse_them() -> None:
    """A red and a green of like lightness differ less for protan and deutan eyes."""
    red, green = "#d04030", "#60802a"

    def distance(vision: Vision) -> int:
        pairs = zip(channels(seen(red, vision)), channels(seen(green, vision)), strict=True)
        return sum(abs(one - other) for one, other in pairs)

    assert distance("deuteranopia") < distance("deuteranomaly") < distance("normal")
    assert max(distance("protanopia"), distance("protanomaly")) < distance("normal")


def test_words_are_not_recoloured() -> None:
    """`none` is no colour, and three digits are as good as six."""
    assert seen("none", "protanopia") == "none"
    assert seen("#f00", "protanopia") == seen("#ff0000", "protanopia")
