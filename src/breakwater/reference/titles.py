"""The titles one can watch: generated once from a seed, the same in every process.

Popularity follows a Zipf law, as viewing does; each title has its own ladder of rungs, regions and
rating. A few hundred titles are built in a few milliseconds.
"""

import random
from collections.abc import Iterable
from typing import Final

import msgspec

from breakwater.reference.errors import UnknownItemError

GENRES: Final = ("action", "comedy", "crime", "drama", "family", "history", "mystery", "nature")
REGIONS: Final = ("eu", "na", "la", "ap")
RATINGS: Final = ("all", "teen", "adult")
DEFAULT_TITLES: Final = 300
_FIRST: Final = (
    "Amber Broken Distant Electric Fallen Gentle Hidden Iron Last Midnight Northern Paper Quiet "
    "Restless Silver Twelve Velvet Winter"
).split()
_SECOND: Final = (
    "Archive Bridge Coast Detective Empire Garden Harbour Island Kitchen Lanterns Meridian "
    "Orchard Promise River Signal Tide Voyage Witness"
).split()


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One quality of a title. Height 0 marks the audio-only rung."""

    id: str
    bandwidth_bps: int
    width: int
    height: int
    codecs: str


AUDIO: Final = Rung(id="a128", bandwidth_bps=128_000, width=0, height=0, codecs="mp4a.40.2")
VIDEO_RUNGS: Final = (
    Rung(id="v240", bandwidth_bps=400_000, width=426, height=240, codecs="avc1.640015"),
    Rung(id="v360", bandwidth_bps=900_000, width=640, height=360, codecs="avc1.64001e"),
    Rung(id="v540", bandwidth_bps=1_800_000, width=960, height=540, codecs="avc1.64001f"),
    Rung(id="v720", bandwidth_bps=3_200_000, width=1280, height=720, codecs="avc1.64001f"),
    Rung(id="v1080", bandwidth_bps=5_800_000, width=1920, height=1080, codecs="avc1.640028"),
    Rung(id="v2160", bandwidth_bps=14_000_000, width=3840, height=2160, codecs="hvc1.2.4.L150.90"),
)


class Title(msgspec.Struct, frozen=True, kw_only=True):
    """Something to watch. `popularity` is its share of all starts; `ladder` ascends, audio last."""

    id: str
    name: str
    genres: tuple[str, ...]
    year: int
    rating: str
    regions: tuple[str, ...]
    duration_ms: int
    segment_ms: int
    popularity: float
    ladder: tuple[Rung, ...]

    def rung(self, rung_id: str) -> Rung:
        """The rung of that name; raises UnknownItemError naming the rungs there are."""
        for rung in self.ladder:
            if rung.id == rung_id:
                return rung
        names = ", ".join(rung.id for rung in self.ladder)
        raise UnknownItemError(f"title {self.id} has no rung '{rung_id}'; it has {names}")


def generate_titles(seed: int, count: int = DEFAULT_TITLES) -> tuple[Title, ...]:
    """`count` titles in order of their id; the popularities sum to one."""
    rng = random.Random(f"{seed}:titles")  # noqa: S311 - a generated world, not a secret
    ranks = list(range(1, count + 1))
    rng.shuffle(ranks)
    weights = [rank**-0.9 for rank in ranks]
    total = sum(weights)
    return tuple(
        _title(rng, number, weight / total) for number, weight in enumerate(weights, start=1)
    )


def _title(rng: random.Random, number: int, popularity: float) -> Title:
    segment_ms = rng.choice((4000, 6000))
    top = rng.choices((3, 4, 5, 6), weights=(1, 2, 6, 2))[0]
    regions = tuple(region for region in REGIONS if rng.random() < 0.85) or REGIONS
    return Title(
        id=f"t{number:04d}",
        name=f"{rng.choice(_FIRST)} {rng.choice(_SECOND)} {number}",
        genres=tuple(sorted(rng.sample(GENRES, rng.choice((1, 2, 2, 3))))),
        year=rng.randint(1975, 2025),
        rating=rng.choices(RATINGS, weights=(3, 4, 3))[0],
        regions=regions,
        duration_ms=rng.randint(20 * 60_000, 130 * 60_000),
        segment_ms=segment_ms,
        popularity=popularity,
        ladder=(*VIDEO_RUNGS[:top], AUDIO),
    )


class Library:
    """Titles by id, and the questions the catalogue answers about them. Immutable."""

    def __init__(self, titles: Iterable[Title]) -> None:
        self._by_id = {title.id: title for title in titles}
        self._by_popularity = sorted(self._by_id.values(), key=lambda t: (-t.popularity, t.id))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_id)

    def title(self, title_id: str) -> Title:
        """One title; raises UnknownItemError."""
        title = self._by_id.get(title_id)
        if title is None:
            raise UnknownItemError(
                f"no title '{title_id}'; ids run from t0001 to t{len(self._by_id):04d}"
            )
        return title

    def shipped(self, title_id: str, error: Exception) -> Title:
        """One title as the code came with it; raises `error`, why it is needed, if it did not."""
        title = self._by_id.get(title_id)
        if title is None:
            raise error
        return title

    def select(self, title_ids: Iterable[str]) -> list[Title]:
        """The titles of those ids that exist, in the order asked for."""
        return [self._by_id[title_id] for title_id in title_ids if title_id in self._by_id]

    def candidates(self, *, region: str, rating: str, limit: int) -> list[Title]:
        """The most popular titles that may be shown in `region` up to `rating`."""
        highest = RATINGS.index(rating) if rating in RATINGS else len(RATINGS) - 1
        allowed = RATINGS[: highest + 1]
        found = (t for t in self._by_popularity if region in t.regions and t.rating in allowed)
        return [title for title, _ in zip(found, range(limit), strict=False)]
