"""Fields of the calendar in UTC and time since the epoch, for whole arrays of stamps."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.int64]
Field = Callable[[Stamps], NDArray[np.float64]]

_DAY_MS: Final = 86_400_000


def _within(unit_ms: int, whole_ms: int = _DAY_MS, *, shift: int = 0) -> Field:
    """Which unit of the whole (a day, an hour) a stamp falls into, counted from `shift`."""

    def field(stamps: Stamps) -> NDArray[np.float64]:
        return (stamps % whole_ms // unit_ms + shift).astype(np.float64)

    return field


def _since(unit_ms: int) -> Field:
    def field(stamps: Stamps) -> NDArray[np.float64]:
        return stamps / unit_ms

    return field


def _constant(value: float) -> Field:
    return lambda stamps: np.full(len(stamps), value)


def _clock_hour(hours: int) -> Field:
    def field(stamps: Stamps) -> NDArray[np.float64]:
        hour = stamps % _DAY_MS // 3_600_000 % hours
        return np.where(hour == 0, hours, hour).astype(np.float64)

    return field


def _days(stamps: Stamps) -> NDArray[np.int64]:
    return stamps // _DAY_MS


def _day_of(stamps: Stamps, unit: str) -> NDArray[np.int64]:
    """The day of the month or year, counted from 0."""
    days = _days(stamps).astype("datetime64[D]")
    start = days.astype(f"datetime64[{unit}]").astype("datetime64[D]")
    return np.asarray(days - start, dtype=np.int64)


def _month(stamps: Stamps) -> NDArray[np.int64]:
    months = _days(stamps).astype("datetime64[D]").astype("datetime64[M]")
    return np.asarray(months, dtype=np.int64)


def _day_of_week(stamps: Stamps) -> NDArray[np.float64]:
    return ((_days(stamps) + 3) % 7 + 1).astype(np.float64)  # 1970-01-01 was a Thursday


def _counted(unit: str, divisor: int = 1, *, remainder: bool = False) -> Field:
    def field(stamps: Stamps) -> NDArray[np.float64]:
        day = _day_of(stamps, unit)
        return ((day % divisor if remainder else day // divisor) + 1).astype(np.float64)

    return field


def _month_of_year(stamps: Stamps) -> NDArray[np.float64]:
    return (_month(stamps) % 12 + 1).astype(np.float64)


def _year(stamps: Stamps) -> NDArray[np.float64]:
    return (_month(stamps) // 12 + 1970).astype(np.float64)


_NAMED: Final[dict[str, Field]] = {
    "secondOfMinute": _within(1000, 60_000),
    "secondOfDay": _within(1000),
    "minuteOfHour": _within(60_000, 3_600_000),
    "minuteOfDay": _within(60_000),
    "hourOfDay": _within(3_600_000),
    "dayOfWeek": _day_of_week,
    "dayOfMonth": _counted("M"),
    "dayOfYear": _counted("Y"),
    "monthOfYear": _month_of_year,
    "yearOfCentury": _year,  # the name is the reference's; so is its meaning, the year
    "yearOfEra": _year,
    "seconds": _since(1000),
    "minutes": _since(60_000),
    "hours": _since(3_600_000),
    "days": _since(_DAY_MS),
    "weeks": _since(7 * _DAY_MS),
}

FIELDS: Final[dict[str, Field]] = {
    **_NAMED,
    "NANO_OF_SECOND": lambda stamps: (stamps % 1000 * 1_000_000).astype(np.float64),
    "MICRO_OF_SECOND": lambda stamps: (stamps % 1000 * 1000).astype(np.float64),
    "MILLI_OF_SECOND": _within(1, 1000),
    "MILLI_OF_DAY": _within(1),
    "SECOND_OF_MINUTE": _NAMED["secondOfMinute"],
    "SECOND_OF_DAY": _NAMED["secondOfDay"],
    "MINUTE_OF_HOUR": _NAMED["minuteOfHour"],
    "MINUTE_OF_DAY": _NAMED["minuteOfDay"],
    "HOUR_OF_AMPM": _within(3_600_000, _DAY_MS // 2),
    "CLOCK_HOUR_OF_AMPM": _clock_hour(12),
    "HOUR_OF_DAY": _NAMED["hourOfDay"],
    "CLOCK_HOUR_OF_DAY": _clock_hour(24),
    "AMPM_OF_DAY": _within(_DAY_MS // 2),
    "DAY_OF_WEEK": _day_of_week,
    "ALIGNED_DAY_OF_WEEK_IN_MONTH": _counted("M", 7, remainder=True),
    "ALIGNED_DAY_OF_WEEK_IN_YEAR": _counted("Y", 7, remainder=True),
    "DAY_OF_MONTH": _NAMED["dayOfMonth"],
    "DAY_OF_YEAR": _NAMED["dayOfYear"],
    "ALIGNED_WEEK_OF_MONTH": _counted("M", 7),
    "ALIGNED_WEEK_OF_YEAR": _counted("Y", 7),
    "MONTH_OF_YEAR": _month_of_year,
    "YEAR_OF_ERA": _year,
    "YEAR": _year,
    "ERA": _constant(1.0),
    "OFFSET_SECONDS": _constant(0.0),
}
"""Every mode of `:time`: a function of stamps in milliseconds, int64 [n] to float64 [n]."""
