"""Which parts a picture has: all of them, or as many as a fixed height has room for."""

from collections.abc import Iterator

import msgspec

from breakwater.render.lanes import MOST_LANES
from breakwater.render.plot.legend import MOST_ROWS


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn around the plotting area."""

    has_heading: bool = True
    has_names: bool = True
    has_ramps: bool = True
    has_footer: bool = True
    most_lanes: int = MOST_LANES
    most_rows: int = MOST_ROWS
    most_notices: int = 5
    most_zones: int = 8


BARE = Parts(
    has_heading=False,
    has_names=False,
    has_ramps=False,
    has_footer=False,
    most_lanes=0,
    most_rows=0,
    most_notices=0,
    most_zones=0,
)


def choices() -> Iterator[Parts]:
    """Fewer and fewer parts: the legend gives way first, the time axis last."""
    for rows in (*range(MOST_ROWS, 8, -3), *range(8, -1, -1)):
        yield Parts(most_rows=rows)
    yield Parts(most_rows=0, most_notices=1)
    small = Parts(most_rows=0, most_notices=1, has_footer=False, most_lanes=1)
    yield small
    yield msgspec.structs.replace(small, has_ramps=False)
    yield msgspec.structs.replace(small, has_ramps=False, most_notices=0, most_lanes=0)
    yield msgspec.structs.replace(BARE, has_heading=True, has_names=True, most_zones=1)
    yield msgspec.structs.replace(BARE, has_heading=True, most_zones=1)
    yield msgspec.structs.replace(BARE, most_zones=1)
    yield BARE
