"""What may become of an update: places in the counts that the loop over updates keeps."""

from typing import Final

SETTLED: Final = 0
"""Datapoints to store."""
MOVED: Final = 1
"""Rows whose standing has to be logged."""
FREE: Final = 2
"""Places that are left for series with more to remember than a stamp."""
STALE: Final = 3
"""The series was retired."""
AHEAD: Final = 4
"""The stamp is too far ahead of the clock."""
INFINITE: Final = 5
"""The value, or what it came to, is infinite."""
NO_VALUE: Final = 6
"""NaN."""
DUPLICATE: Final = 7
"""Said again for a stamp that was taken."""
LATE: Final = 8
"""Out of order by more than the source allows, and settled: a rate on the grid, which fills its
slot if that is empty, or a gauge or a sum of a step older than the last two."""
PASSED_OVER: Final = 9
"""A rate off the grid, or a total, that is older than the newest; or a stamp below 1."""
PAUSE: Final = 10
"""The first after a silence longer than a value holds."""
RESET: Final = 11
"""A total that fell."""
NO_SOURCE: Final = 12
"""A total of a rolled-up series, from a source of which nothing could be remembered."""
COUNTS: Final = 13
"""How many counts there are."""
