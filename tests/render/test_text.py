"""Measuring and shortening texts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.render.fonts import font_css, font_files, metrics
from breakwater.render.text import elide, width


def test_fonts_come_along() -> None:
    """All fonts needed lie in the package, together below 160 kB."""
    sizes = [Path(path).stat().st_size for path in font_files()]
    assert len(sizes) == 3
    assert sum(sizes) < 160_000


def test_known_widths() -> None:
    """Advance widths are those of the font files: a Roboto digit is 1151/2048 of its size."""
    assert width("0", 2048) == 1151
    assert width("0123456789", 20.48) == pytest.approx(115.1)
    assert width("", 12) == 0
    assert metrics(bold=True).advances[ord("W")] > metrics().advances[ord("i")]


def test_symbols_are_measured() -> None:
    """Arrows and check marks have a width although the text font lacks them."""
    assert ord("\u2192") in metrics().advances
    assert width("\u2192", 10) > 5


def test_unknown_characters_are_estimated() -> None:
    """East Asian wide characters count as one font size."""
    assert width("\u6f22\u5b57", 10) == 20


def test_a_fitting_text_stays_whole() -> None:
    """Nothing is shortened that fits."""
    assert elide("gateway", 100, 12) == "gateway"


def test_long_names_keep_both_ends() -> None:
    """Names that differ only at their end stay distinguishable."""
    shown = [elide(f"personalization-blue-eu-west-{n}", 120, 12) for n in ("17", "18")]
    assert shown[0] != shown[1]
    assert all(text.startswith("personal") for text in shown)


def test_no_room_at_all_leaves_nothing() -> None:
    """A text that cannot even show its ellipsis is left out."""
    assert elide("gateway", 2, 12) == ""


@given(st.text(max_size=60), st.floats(0, 300))
def test_elided_text_fits(text: str, limit: float) -> None:
    """Whatever is shown is at most as wide as allowed."""
    assert width(elide(text, limit, 11), 11) <= limit


def test_font_css_is_self_contained() -> None:
    """The page style carries both weights as data, with no address to fetch."""
    css = font_css()
    assert css.count("@font-face") == 2
    assert "http" not in css
