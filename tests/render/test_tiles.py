"""Boards of tiles: everything is written where it fits, whatever it says."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.render import (
    ChartError,
    Figure,
    PictureSizeError,
    Tile,
    TileBoard,
    TileSection,
    tile_board,
)

TEXTS = st.text(st.sampled_from("abcXYZ 0189-_./<&日ł"), max_size=40)


def a_tile(**given: object) -> Tile:
    """A tile with plain content."""
    plain = {"title": "Account", "size": 0.5, "colour": "good", "state": "closed", "headline": "1"}
    return Tile(**{**plain, **given})  # type: ignore[arg-type] # a test's own mix of fields


def board(*tiles: Tile, **given: object) -> str:
    """A board with one section."""
    section = TileSection(title="all", tiles=list(tiles))
    return tile_board(TileBoard(title="Board", sections=[section], **given))  # type: ignore[arg-type] # as above


def test_area_is_what_the_disc_says() -> None:
    """A quarter of the size is half of the radius; nothing at all is still a dot."""
    svg = board(a_tile(size=1.0), a_tile(size=0.25), a_tile(size=0.0), a_tile(size=7.0))
    assert [part.partition('"')[0] for part in svg.split(' r="')[1:]] == ["30", "15", "4", "30"]


def test_the_state_is_written_out() -> None:
    """What the colour says is said in a word too."""
    svg = board(a_tile(state="OPEN", colour="danger"))
    assert ">OPEN</text>" in svg


def test_nothing_to_show_is_said() -> None:
    """An empty board says so."""
    assert "nothing to show" in board()


def test_unknown_colours_are_refused() -> None:
    """Colours are meanings or hex."""
    with pytest.raises(ChartError, match="'url"):
        board(a_tile(colour="url(#x)"))


def test_the_height_is_bounded() -> None:
    """As that of any picture."""
    with pytest.raises(PictureSizeError):
        board(*[a_tile()] * 2_000)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_texts_never_overlap(assert_legible: Callable[[str], None], data: st.DataObject) -> None:
    """Whatever titles, states and figures say, no text covers another or leaves the picture."""

    def tile() -> Tile:
        return Tile(
            title=data.draw(TEXTS),
            size=data.draw(st.floats(0, 1)),
            colour=data.draw(st.sampled_from(["good", "danger", "#123456"])),
            state=data.draw(TEXTS),
            headline=data.draw(TEXTS),
            below=data.draw(TEXTS),
            detail=data.draw(TEXTS),
            figures=[
                Figure(label=data.draw(TEXTS), value=data.draw(TEXTS))
                for _ in range(data.draw(st.integers(0, 5)))
            ],
        )

    sections = [
        TileSection(
            title=data.draw(TEXTS), tiles=[tile() for _ in range(data.draw(st.integers(0, 4)))]
        )
        for _ in range(data.draw(st.integers(0, 2)))
    ]
    svg = tile_board(
        TileBoard(
            title=data.draw(TEXTS),
            subtitle=data.draw(TEXTS),
            remark=data.draw(TEXTS),
            sections=sections,
            width=data.draw(st.integers(360, 1_400)),
        )
    )
    assert_legible(svg)
