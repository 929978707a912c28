"""Fixtures of the tests of chaos: a bench, and a process to do things to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.chaos_fakes import (
    Victim,
    victims,
    view,
)
from tests.chaos.fault_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A fresh bench."""
    made = Bench(tmp_path)
    yield made
    made.end()


@pytest.fixture
def victim(bench: Bench) -> Iterator[Victim]:
    """One real sleeping process, registered."""
    with victims(1) as (one,):
        one.wait_for("S")
        bench.view = view(one.instance)
        yield one
