"""Whole programs that import the libraries by their own names, run by the shims."""

import subprocess
import sys

import pytest

from breakwater.sdk import SettingsError
from breakwater.sdk.shims import stand_in

PROGRAM = """
from breakwater.sdk.shims import stand_in
stand_in("tenacity", "pybreaker")

import pybreaker
import tenacity.asyncio
from tenacity import retry, stop_after_attempt
from tenacity.retry import retry_if_exception_type
from tenacity.wait import wait_none
from pybreaker import CircuitBreaker

breaker = CircuitBreaker(fail_max=2)

@retry(stop=stop_after_attempt(4), wait=wait_none(), retry=retry_if_exception_type(OSError))
@breaker
def ask():
    print("asked")
    raise OSError("down")

try:
    ask()
except pybreaker.CircuitBreakerError as error:
    print(error, retry.__module__, tenacity.asyncio.AsyncRetrying.__module__)
stand_in("tenacity")
"""


@pytest.mark.slow
def test_a_program_that_imports_the_libraries_gets_the_shims() -> None:
    """All their modules are found by the original names; calling it again changes nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    shims = "breakwater.sdk.shims.tenacity"
    assert done.stdout.splitlines() == [
        "asked",
        "asked",
        f"Failures threshold reached, circuit breaker opened {shims} {shims}.asyncio",
    ]


def test_what_is_imported_already_stays() -> None:
    """Some of the program would use one and some the other, so it is refused."""
    import tenacity  # noqa: PLC0415 - the point is that it is loaded

    assert not tenacity.__name__.startswith("breakwater")
    with pytest.raises(SettingsError, match="tenacity itself is imported already"):
        stand_in("tenacity")


def test_a_library_without_a_shim_is_named() -> None:
    """The error says which there are."""
    with pytest.raises(SettingsError, match="no shim for 'backoff'; there are: tenacity"):
        stand_in("backoff")


def test_standing_in_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module of the library's name is the shim's."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pybreaker"]:
        monkeypatch.delitem(sys.modules, name)
    stand_in("pybreaker")
    stand_in("pybreaker")
    assert sys.modules.pop("pybreaker").__name__ == "breakwater.sdk.shims.pybreaker"
