"""The model learns, and the experiment allocates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference.allocation import allocate
from breakwater.reference.factorization import ModelSettings, train
from breakwater.reference.titles import generate_titles
from breakwater.reference.viewing import PLAYS_PER_ACCOUNT, Viewing, generate_viewing

TITLES = generate_titles(1)
VIEWING = generate_viewing(1, TITLES, 600)
SETTINGS = ModelSettings(name="test", factors=8)


def test_viewing_follows_the_seed_and_popularity() -> None:
    """The same seed gives the same plays, and popular titles are played more."""
    assert np.array_equal(generate_viewing(1, TITLES, 600).plays, VIEWING.plays)
    assert not np.array_equal(generate_viewing(2, TITLES, 600).plays, VIEWING.plays)
    assert ((VIEWING.plays > 0).sum(axis=1) == PLAYS_PER_ACCOUNT).all()
    popularity = np.array([title.popularity for title in TITLES])
    assert np.corrcoef(popularity, VIEWING.plays.sum(axis=0))[0, 1] > 0.4


def test_training_is_repeatable() -> None:
    """Same data, settings and seed give the same factors to the last bit."""
    first, second = train(VIEWING, SETTINGS, 3), train(VIEWING, SETTINGS, 3)
    assert np.array_equal(first.accounts, second.accounts)
    assert np.array_equal(first.titles, second.titles)


@pytest.mark.parametrize("settings", [SETTINGS, ModelSettings(name="d", factors=12, damping=0.3)])
def test_the_model_beats_popularity_on_plays_it_has_not_seen(settings: ModelSettings) -> None:
    """Of four hidden plays per account, the model's top twelve hold more than the charts'."""
    rng = np.random.default_rng(0)
    plays = VIEWING.plays.copy()
    hidden = [
        set(rng.choice(np.flatnonzero(row), 4, replace=False).tolist()) for row in VIEWING.plays
    ]
    for row, titles in enumerate(hidden):
        plays[row, list(titles)] = 0
    model = train(Viewing(plays=plays, title_ids=VIEWING.title_ids), settings, 1)
    scores = model.accounts @ model.titles.T
    charts = np.broadcast_to(plays.sum(axis=0), plays.shape)
    assert _found(scores, plays, hidden) > 1.15 * _found(charts, plays, hidden)


def _found(scores: np.ndarray, plays: np.ndarray, hidden: list[set[int]]) -> float:
    best = np.argsort(-np.where(plays > 0, -np.inf, scores), axis=1)[:, :12]
    return float(np.mean([len(hidden[row] & set(best[row].tolist())) for row in range(len(best))]))


def test_ranking_is_ordered_and_bounded() -> None:
    """Scores fall, titles are distinct, and asking for more than there are gives all."""
    model = train(VIEWING, SETTINGS, 1)
    ranked = model.rank(3, 10)
    scores = [score for _, score in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len({title for title, _ in model.rank(3, 10_000)}) == len(TITLES)
    assert ranked[0] == model.rank(3, 1)[0]


def test_an_unseen_account_gets_the_mean_taste() -> None:
    """Without a row the ranking is that of the average viewer, the same for all unseen."""
    model = train(VIEWING, SETTINGS, 1)
    scores = model.titles @ model.accounts.mean(axis=0)
    assert model.rank(None, 1)[0][0] == model.title_ids[int(scores.argmax())]


@given(st.text(max_size=10), st.text(max_size=10))
def test_an_account_stays_in_its_cell(account: str, experiment: str) -> None:
    """Allocation is a function of account and experiment only, and gives an existing cell."""
    shares = {"control": 50.0, "other": 50.0}
    cell = allocate(account, experiment, shares)
    assert cell in shares
    assert cell == allocate(account, experiment, shares)
    assert allocate(account, experiment, {"all": 1.0, "none": 0.0}) == "all"


def test_cells_get_their_shares_and_experiments_are_independent() -> None:
    """Shares hold to two in a hundred, and being in one cell says nothing about another test."""
    accounts = [f"a{n}" for n in range(8000)]
    first = {a for a in accounts if allocate(a, "one", {"x": 25.0, "y": 75.0}) == "x"}
    second = {a for a in accounts if allocate(a, "two", {"x": 25.0, "y": 75.0}) == "x"}
    assert len(first) / 8000 == pytest.approx(0.25, abs=0.02)
    assert len(first & second) / len(first) == pytest.approx(0.25, abs=0.04)
