"""Words for lines that come from no datapoint: noise, the calendar, a span of time."""

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.calendar import FIELDS
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.generated import Random, Time, TimeSpan
from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.registry import word


@word("random", "-- Expr")
def random() -> Expression:
    """Noise between 0 and 1, always the same at the same time."""
    return Random()


@word("srandom", "seed:Int -- Expr")
def srandom(seed: int) -> Expression:
    """Noise between 0 and 1, different for each seed."""
    if not -(2**31) <= seed < 2**31:
        raise QueryValueError(f"invalid seed {seed}; allowed: whole numbers of 32 bits")
    return Random(seed)


@word("time", "mode:String -- Expr")
def time(mode: str) -> Expression:
    """A field of the calendar in UTC, such as hourOfDay, or time since the epoch: seconds, days."""
    if mode not in FIELDS:
        raise QueryValueError(f"unknown mode '{mode}'; allowed: {', '.join(FIELDS)}")
    return Time(mode)


@word("time-span", "start:String end:String -- Expr", needs_machine=True)
def time_span(machine: Machine, start: str, end: str) -> Expression:
    """1 between two times and 0 elsewhere; gs and ge are the start and end of the graph."""
    zone = machine.variables.get("tz", "UTC")
    if not isinstance(zone, str):
        raise QueryValueError("variable 'tz' must be the name of a time zone")
    return TimeSpan(start, end, zone)
