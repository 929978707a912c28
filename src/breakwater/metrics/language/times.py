"""Points in time and ranges as people write them in a link: `now-3h`, `e-1d`, `2024-02-29T13:00`.

A time is a reference (now, epoch, s, e, gs, ge) with an optional duration added or taken off, an
ISO date or date and time with an optional zone, or a number: seconds up to 2147483647, above that
milliseconds.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from breakwater.metrics.errors import InvalidTimeError
from breakwater.metrics.grid.durations import parse_duration

_RELATIVE: Final = re.compile(r"(now|epoch|gs|ge|s|e)(?:([-+])(.+))?")
_ABSOLUTE: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))?(Z|[-+]\d{2}:\d{2})?"
)
_LARGEST_SECONDS: Final = 2_147_483_647


def zone_named(name: str) -> tzinfo:
    """The time zone of that name; raises InvalidTimeError when there is none."""
    try:
        return UTC if name in ("UTC", "Z") else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidTimeError(
            f"unknown time zone '{name}'; expected a name like UTC or US/Pacific"
        ) from error


def parse_time(text: str, references: dict[str, int], zone: tzinfo = UTC) -> int:
    """Milliseconds since the epoch; `references` gives the times that names stand for.

    Raises InvalidTimeError saying what is allowed.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        name, sign, length = relative.groups()
        if name not in references:
            known = ", ".join(sorted(references))
            raise InvalidTimeError(
                f"'{text}' refers to '{name}', which is not known; known: {known}"
            )
        if sign is None:
            return references[name]
        offset = parse_duration(length)
        return references[name] + (offset if sign == "+" else -offset)
    if text.isascii() and text.isdigit() and len(text) <= 15:
        number = int(text)
        return number * 1000 if number <= _LARGEST_SECONDS else number
    absolute = _ABSOLUTE.fullmatch(text)
    if absolute is None:
        raise InvalidTimeError(
            f"invalid time '{text}'; expected now-3h, e-1d, 2024-02-29T13:00, seconds or "
            "milliseconds since the epoch"
        )
    day, clock, offset_text = absolute.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{offset_text or ''}")
    except ValueError as error:
        raise InvalidTimeError(f"invalid time '{text}': {error}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)


def parse_range(start: str, end: str, now_ms: int, zone: tzinfo = UTC) -> tuple[int, int]:
    """Start and end of a range; one may refer to the other, not both.

    Raises InvalidTimeError, also when the end is before the start.
    """
    references = {"now": now_ms, "epoch": 0}
    is_start_relative = re.match(r"(e|ge)\b", start) is not None and not start.startswith("epoch")
    is_end_relative = re.match(r"(s|gs)\b", end) is not None
    if is_start_relative and is_end_relative:
        raise InvalidTimeError(f"start '{start}' and end '{end}' refer to each other")
    if is_end_relative:
        start_ms = parse_time(start, references, zone)
        end_ms = parse_time(end, {**references, "s": start_ms, "gs": start_ms}, zone)
    else:
        end_ms = parse_time(end, references, zone)
        start_ms = parse_time(start, {**references, "e": end_ms, "ge": end_ms}, zone)
    if end_ms < start_ms:
        raise InvalidTimeError(f"end '{end}' is before start '{start}'")
    return start_ms, end_ms
