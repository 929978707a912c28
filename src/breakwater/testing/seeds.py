"""Randomness that is the same in every run of a test, and other than that of every other test."""

import os
from random import Random
from typing import Final

SEED_VARIABLE: Final = "BREAKWATER_TEST_SEED"
"""Set it to run the same tests on other numbers, and to the same value to see them again."""


def seeded(name: str, seed: int | str | None = None) -> Random:
    """A source of random numbers for whatever is called `name`, such as a test.

    seed: None takes the environment's `BREAKWATER_TEST_SEED`, 0 if there is none. Sources of
    different names are independent, so that a new one does not shift the numbers of the others.
    """
    chosen = os.environ.get(SEED_VARIABLE, "0") if seed is None else seed
    return Random(f"{chosen}:{name}")  # noqa: S311 - to be repeated, not to be secret
