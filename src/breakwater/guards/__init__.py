"""The guarded commands of a fleet: seen as one picture, and given settings while they run.

`GuardWatch` reads the `hystrix.stream` of every instance of a service, though only while somebody
watches, and merges them as Turbine does: `/turbine.stream?cluster=X` is what the stock dashboard
shows, `/api/v1/guards` the same for programs and `breakwater guard` for people. `SettingBook`
keeps what operators set (a limit, a breaker forced open) on disk and in the journal, checks it
against the very records of the SDK, and hands it to the services, which ask by long poll.
"""

from typing import TYPE_CHECKING

from breakwater.guards.errors import (
    EventTooLongError,
    InvalidSettingError,
    TooManySettingsError,
    TooManyWatchersError,
    UnknownClusterError,
    UnknownSettingError,
)
from breakwater.guards.settings import GuardSettings

if TYPE_CHECKING:
    from breakwater.guards.book import SettingBook
    from breakwater.guards.setting import GuardSetting, SettingRequest
    from breakwater.guards.view import GuardView, ServiceGuards
    from breakwater.guards.watch import GuardWatch

__all__ = [
    "EventTooLongError",
    "GuardSetting",
    "GuardSettings",
    "GuardView",
    "GuardWatch",
    "InvalidSettingError",
    "ServiceGuards",
    "SettingBook",
    "SettingRequest",
    "TooManySettingsError",
    "TooManyWatchersError",
    "UnknownClusterError",
    "UnknownSettingError",
]

_HOMES = {
    "GuardSetting": "setting",
    "GuardView": "view",
    "GuardWatch": "watch",
    "ServiceGuards": "view",
    "SettingBook": "book",
    "SettingRequest": "setting",
}


def __getattr__(name: str) -> object:
    """Import what needs SQLAlchemy only when it is asked for: it takes a tenth of a second."""
    from importlib import import_module  # noqa: PLC0415 - part of the delay

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
