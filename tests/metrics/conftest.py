"""The kernels are compiled once before the first test, so that no test pays for it."""

import pytest

from breakwater.metrics import kernels, running


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compile every kernel, or load it from the cache."""
    kernels.warm_up()
    running.warm_up()
