"""What a generated library promises."""

import pytest

from breakwater.reference.errors import UnknownItemError
from breakwater.reference.titles import AUDIO, GENRES, RATINGS, Library, generate_titles


def test_same_seed_gives_the_same_titles() -> None:
    """Two processes with one seed see the same library; another seed gives another."""
    assert generate_titles(7, 50) == generate_titles(7, 50)
    assert generate_titles(7, 50) != generate_titles(8, 50)


def test_popularity_is_a_skewed_share() -> None:
    """Popularities sum to one, and the top tenth takes well over its tenth."""
    shares = sorted((t.popularity for t in generate_titles(1)), reverse=True)
    assert sum(shares) == pytest.approx(1.0)
    assert sum(shares[: len(shares) // 10]) > 0.4


@pytest.mark.parametrize("seed", range(5))
def test_every_title_is_playable(seed: int) -> None:
    """A title has known genres, a region, a positive length, and a ladder that ends with audio."""
    for title in generate_titles(seed, 100):
        assert set(title.genres) <= set(GENRES)
        assert title.genres
        assert title.regions
        assert title.duration_ms > title.segment_ms > 0
        assert title.ladder[-1] == AUDIO
        heights = [rung.height for rung in title.ladder[:-1]]
        assert heights == sorted(set(heights))


def test_unknown_names_are_refused_with_what_there_is() -> None:
    """A wrong title or rung is an error that lists the right ones."""
    library = Library(generate_titles(1, 5))
    with pytest.raises(UnknownItemError, match="t0001 to t0005"):
        library.title("t0006")
    with pytest.raises(UnknownItemError, match="v240"):
        library.title("t0001").rung("v9")


def test_candidates_respect_region_and_rating() -> None:
    """Only titles offered in the region and up to the rating come back, most popular first."""
    library = Library(generate_titles(3))
    found = library.candidates(region="ap", rating="teen", limit=1000)
    assert found
    assert all("ap" in t.regions and t.rating in RATINGS[:2] for t in found)
    assert [t.popularity for t in found] == sorted((t.popularity for t in found), reverse=True)
    assert library.candidates(region="ap", rating="teen", limit=3) == found[:3]
    assert library.candidates(region="nowhere", rating="teen", limit=3) == []


def test_select_keeps_the_order_asked_for() -> None:
    """Titles come back in the order of the ids; ids that do not exist are left out."""
    library = Library(generate_titles(1, 9))
    assert [t.id for t in library.select(["t0004", "t0100", "t0002"])] == ["t0004", "t0002"]
