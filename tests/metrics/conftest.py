"""The kernels are compiled once before the first test, so that no test pays for it."""

import pytest

from breakwater.metrics.classes import kernels as rollup_kernels
from breakwater.metrics.evaluation import running
from breakwater.metrics.normalize import updates
from breakwater.metrics.series import folding
from breakwater.metrics.store import kernels
from breakwater.metrics.text import numbers


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compile every kernel, or load it from the cache."""
    folding.warm_up()
    kernels.warm_up()
    numbers.warm_up()
    rollup_kernels.warm_up()
    running.warm_up()
    updates.warm_up()
