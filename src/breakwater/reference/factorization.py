"""The ranking model: matrix factorisation of viewing data by alternating least squares.

Implicit feedback: a play is a preference of 1 held with confidence 1 + alpha x plays, no play is a
preference of 0 held weakly. One half-step solves all rows at once: a matrix product builds every
normal equation, a batched solve answers them. 2,000 x 300 with 16 factors trains in some 0.3 s.
Source: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets" (2008).
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.reference.viewing import Array, Viewing


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of the model. damping: how strongly popular titles are held back, 0 to 1."""

    name: str
    factors: int
    iterations: int = 5
    alpha: float = 8.0
    regularization: float = 2.0
    damping: float = 0.0


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Trained factors. accounts: float32 [accounts, k]; titles: float32 [titles, k]."""

    settings: ModelSettings
    accounts: Array
    titles: Array
    title_ids: tuple[str, ...]

    def rank(self, row: int | None, limit: int) -> list[tuple[str, float]]:
        """The `limit` titles that suit an account best, with scores, best first.

        row: the account's row, None for one the model has not seen; it then gets the mean taste.
        """
        taste = self.accounts.mean(axis=0) if row is None else self.accounts[row]
        scores = self.titles @ taste
        limit = min(limit, len(scores))
        best = np.argpartition(-scores, limit - 1)[:limit]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [(self.title_ids[i], float(scores[i])) for i in best]


def train(viewing: Viewing, settings: ModelSettings, seed: int) -> Model:
    """Factors for all accounts and titles; the same for the same data, settings and seed."""
    rng = np.random.default_rng([seed, settings.factors])
    plays = viewing.plays
    if settings.damping:
        share = plays.sum(axis=0) / plays.sum()
        plays = plays * (share.mean() / np.maximum(share, 1e-6)) ** settings.damping
    confidence = (settings.alpha * plays).astype(np.float32)
    preference = (viewing.plays > 0).astype(np.float32)
    titles = rng.normal(scale=0.1, size=(plays.shape[1], settings.factors)).astype(np.float32)
    accounts = np.zeros((plays.shape[0], settings.factors), dtype=np.float32)
    for _ in range(settings.iterations):
        accounts = _solve(titles, confidence, preference, settings.regularization)
        titles = _solve(accounts, confidence.T, preference.T, settings.regularization)
    return Model(settings=settings, accounts=accounts, titles=titles, title_ids=viewing.title_ids)


def _solve(fixed: Array, confidence: Array, preference: Array, regularization: float) -> Array:
    """The least-squares answer for every row of `confidence` while `fixed` stands still."""
    count, factors = fixed.shape
    outer = (fixed[:, :, None] * fixed[:, None, :]).reshape(count, factors * factors)
    gram = fixed.T @ fixed + regularization * np.eye(factors, dtype=np.float32)
    normal = (confidence @ outer).reshape(-1, factors, factors) + gram
    right = ((1.0 + confidence) * preference) @ fixed
    answer: NDArray[np.float32] = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
    return answer.astype(np.float32, copy=False)
