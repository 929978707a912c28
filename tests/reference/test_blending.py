"""How a page is put together."""

from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference.blending import ROW_LENGTH, blend

CANDIDATES = [f"t{n}" for n in range(30)]


def _row(name: str, **parts: dict[str, float]) -> tuple[str, ...]:
    rows = blend(
        CANDIDATES, parts.get("ranked", {}), parts.get("affinity", {}), parts.get("trending", {})
    )
    return next((row.titles for row in rows if row.name == name), ())


def test_without_a_model_the_page_is_popularity() -> None:
    """Neutral inputs give the candidates in their order, and no trending shelf."""
    rows = blend(CANDIDATES, {}, {}, {})
    assert [row.name for row in rows] == ["Top picks", "Popular"]
    assert rows[0].titles == rows[1].titles == tuple(CANDIDATES[:ROW_LENGTH])


def test_the_model_decides_the_first_shelf() -> None:
    """What the model scores highest comes first."""
    assert _row("Top picks", ranked={"t20": 0.9, "t7": 0.8, "t3": 0.1})[:3] == ("t20", "t7", "t3")


def test_what_was_just_watched_moves_down() -> None:
    """A title with full affinity gives way to one with a lower score."""
    ranked = {"t20": 0.9, "t7": 0.8}
    assert _row("Top picks", ranked=ranked, affinity={"t20": 1.0})[0] == "t7"


def test_what_is_hot_moves_up_and_has_its_own_shelf() -> None:
    """Heat lifts a title past a slightly better score; the shelf shows hot titles only."""
    ranked = {"t20": 0.9, "t7": 0.85, "t1": 0.0}
    assert _row("Top picks", ranked=ranked, trending={"t7": 1.0})[0] == "t7"
    assert _row("Trending now", trending={"t9": 0.4, "t8": 1.0, "x": 1.0}) == ("t8", "t9")


SCORES = st.dictionaries(st.sampled_from([*CANDIDATES, "x1", "x2"]), st.floats(-5, 5), max_size=30)


@given(SCORES, SCORES, SCORES)
def test_only_candidates_are_shown_and_none_twice(
    ranked: dict[str, float], affinity: dict[str, float], trending: dict[str, float]
) -> None:
    """Whatever the inputs say, a shelf holds distinct allowed titles and is never too long."""
    for row in blend(CANDIDATES, ranked, affinity, trending):
        assert set(row.titles) <= set(CANDIDATES)
        assert len(set(row.titles)) == len(row.titles) <= ROW_LENGTH


def test_no_candidates_no_shelves() -> None:
    """A region with nothing to show gets an empty page, not an error."""
    assert blend([], {"t1": 1.0}, {}, {"t1": 1.0}) == ()
