"""A platform killed at any moment keeps what it acknowledged, and adds nothing."""

from pathlib import Path

import pytest
from benchmarks.crash_drill import Drill

ROUNDS = 15


@pytest.mark.slow
def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Kills during publishing and snapshots: every acknowledged datapoint is there after each."""
    outcome = Drill(tmp_path, seed=5).run(ROUNDS)
    assert outcome.lost == []
    assert outcome.invented == []
    assert outcome.acknowledged > 1000
