"""Checks of configured numbers; each error names the field, its value and what is allowed.

Numbers may come from outside while the process runs, so none may be so large that a wait or an
allocation by it fails.
"""

from typing import Final

from breakwater.sdk.errors import SettingsError

MOST: Final = 1e9
"""Of anything: in seconds, thirty years."""


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a value below `least`, above `MOST`, and NaN."""
    if not value >= least:
        raise SettingsError(f"{name} is {value}, must be at least {least}")
    if value > MOST:
        raise SettingsError(f"{name} is {value:g}, must be at most {MOST:g}")


def above_zero(name: str, value: float) -> None:
    """Refuse zero, less, more than `MOST`, and NaN."""
    if not value > 0:
        raise SettingsError(f"{name} is {value}, must be above 0")
    if value > MOST:
        raise SettingsError(f"{name} is {value:g}, must be at most {MOST:g}")


def between(name: str, value: float, low: float, high: float, *, open_below: bool = False) -> None:
    """Refuse a value outside `low` to `high`; with `open_below`, `low` itself too."""
    if not (low < value if open_below else low <= value) or not value <= high:
        start = f"above {low:g}" if open_below else f"at least {low:g}"
        raise SettingsError(f"{name} is {value}, must be {start} and at most {high:g}")
