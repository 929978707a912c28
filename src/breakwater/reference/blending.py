"""How a home page is put together from a model's ranking and from fresh features. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

ROW_LENGTH: Final = 12
_FRESHNESS: Final = 0.3
_SEEN: Final = 0.5


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One shelf of the page: its name and title ids, best first."""

    name: str
    titles: tuple[str, ...]


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """Scores by title, best first, and which cell of the experiment gave them."""

    cell: str
    model: str
    scores: dict[str, float]


class HomeRows(msgspec.Struct, frozen=True, kw_only=True):
    """What personalization answers; `cell` is the experiment cell, `none` for an unranked page."""

    rows: tuple[Row, ...]
    cell: str = "none"


def blend(
    candidates: Sequence[str],
    ranked: Mapping[str, float],
    affinity: Mapping[str, float],
    trending: Mapping[str, float],
) -> tuple[Row, ...]:
    """The shelves for one viewer.

    candidates: the titles that may be shown, most popular first. ranked: model scores, any scale.
    A hot title moves up by a share of its heat, one just watched moves down; without scores the
    order is popularity. Every shelf has at most ROW_LENGTH titles, none twice on one shelf.
    """
    base = _scaled(ranked, candidates)
    score = {
        title: base.get(title, 0.0)
        + _FRESHNESS * trending.get(title, 0.0)
        - _SEEN * min(1.0, affinity.get(title, 0.0))
        for title in candidates
    }
    order = {title: place for place, title in enumerate(candidates)}
    top = sorted(candidates, key=lambda title: (-score[title], order[title]))
    hot = sorted((t for t in candidates if t in trending), key=lambda title: -trending[title])
    rows = (_row("Top picks", top), _row("Trending now", hot), _row("Popular", candidates))
    return tuple(row for row in rows if row.titles)


def _scaled(ranked: Mapping[str, float], candidates: Sequence[str]) -> Mapping[str, float]:
    allowed = {title: ranked[title] for title in candidates if title in ranked}
    if not allowed:
        return {title: 1.0 - place / len(candidates) for place, title in enumerate(candidates)}
    low, high = min(allowed.values()), max(allowed.values())
    span = (high - low) or 1.0
    # Scores run from 0.5 to 1, so that a title the model did not score comes after those it did.
    return {title: 0.5 + 0.5 * (value - low) / span for title, value in allowed.items()}


def _row(name: str, titles: Iterable[str]) -> Row:
    return Row(name=name, titles=tuple(dict.fromkeys(titles))[:ROW_LENGTH])
