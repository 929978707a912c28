"""Bar tables."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.render import Bar, BarTable, ChartError, PictureSizeError, bar_table

TEXTS = st.text(max_size=60)


def test_values_are_written_beside_their_bars() -> None:
    """Every row shows its number with the unit of the table."""
    svg = bar_table(
        BarTable(
            title="impact",
            unit="seconds",
            bars=[Bar(label="ranker", value=2.3, is_marked=True), Bar(label="x", value=math.nan)],
        )
    )
    assert "2.3 s" in svg
    assert "\u2013" in svg


def test_bars_start_at_zero() -> None:
    """A negative bar ends where the positive ones begin."""
    svg = bar_table(
        BarTable(
            title="",
            bars=[
                Bar(label="a", value=4, colour="#123456"),
                Bar(label="b", value=-2, colour="#654321"),
            ],
        )
    )
    rects = {e.get("fill"): e for e in ET.fromstring(svg).iter() if e.tag.endswith("rect")}
    up, down = rects["#123456"], rects["#654321"]
    zero = float(up.attrib["x"])
    assert float(down.attrib["x"]) + float(down.attrib["width"]) == pytest.approx(zero, abs=0.2)
    assert float(up.attrib["width"]) == pytest.approx(2 * float(down.attrib["width"]), abs=0.3)


def test_no_rows_is_said() -> None:
    """An empty table is a sentence."""
    assert "no rows" in bar_table(BarTable(title="impact", bars=[]))


def test_too_many_cells_are_refused() -> None:
    """A cell needs a column."""
    with pytest.raises(ChartError, match="2 cells for 1 columns"):
        bar_table(
            BarTable(title="", columns=["one"], bars=[Bar(label="a", value=1, cells=["x", "y"])])
        )


def test_too_many_rows_are_refused() -> None:
    """The height is bounded like that of any picture."""
    with pytest.raises(PictureSizeError):
        bar_table(BarTable(title="", bars=[Bar(label="a", value=1)] * 400))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_texts_never_overlap(assert_legible: Callable[[str], None], data: st.DataObject) -> None:
    """Whatever labels, heads and cells say, no text covers another or leaves the picture."""
    columns = data.draw(st.lists(TEXTS, max_size=4))
    bars = [
        Bar(
            label=data.draw(TEXTS),
            value=data.draw(st.floats(-1e9, 1e9)),
            cells=[data.draw(TEXTS) for _ in columns],
            is_marked=data.draw(st.booleans()),
        )
        for _ in range(data.draw(st.integers(0, 6)))
    ]
    svg = bar_table(
        BarTable(
            title=data.draw(TEXTS),
            subtitle=data.draw(TEXTS),
            remark=data.draw(TEXTS),
            label_head=data.draw(TEXTS),
            value_head=data.draw(TEXTS),
            columns=columns,
            bars=bars,
            unit=data.draw(st.sampled_from(["number", "seconds"])),
            width=data.draw(st.integers(360, 1_400)),
        )
    )
    assert_legible(svg)
