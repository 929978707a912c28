"""Retention classes: which datapoints are kept coarser, for longer, and without which tags.

The store at full resolution is the first class and has no record here. Each further class is fed
from the one before it, so its step is a multiple of that one's and it keeps longer.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from breakwater.metrics.errors import InvalidClassError, InvalidStepError
from breakwater.metrics.grid.steps import check_query_step
from breakwater.metrics.selection.query import Query
from breakwater.metrics.settings import DEFAULT_CLASSES, RetentionClass

FULL: Final = "full"
"""The name of the class at full resolution."""

AGGREGATE: Final = "atlas.aggr"
"""The tag that tells the series kept of one target apart; it never leaves the room.

A tag of that name on a user's series names who aggregated it before it came here, which is one
more copy of the same: it is dropped as `nf.node` is.
"""

KINDS: Final = ("sum", "count", "min", "max", "steps")
"""What is kept of a target, and the order it is rolled up in."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEPT_TAGS: Final = frozenset(("name", "statistic", "percentile", "distinct", "atlas.dstype"))
_MOST_CLASSES: Final = 8


class ClassPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a class keeps of the store it is fed from.

    where: which series. dropped: keys these lose on the way from full resolution. is_rolled:
    whether the store it is fed from is a class itself.
    """

    kept: RetentionClass
    where: Query
    dropped: frozenset[str]
    is_rolled: bool


def checked(
    classes: Sequence[RetentionClass], *, step_ms: int, retention_s: int
) -> list[RetentionClass]:
    """The classes beside a store of that step and retention; raises InvalidClassError.

    The default ones are left out when the store is as coarse as they are or keeps as long. What
    `where` says is for those to read who know its language.
    """
    if list(classes) == DEFAULT_CLASSES:
        return [each for each in classes if _is_coarser(each, step_ms, retention_s)]
    if len(classes) > _MOST_CLASSES:
        raise InvalidClassError(f"{len(classes)} retention classes; at most {_MOST_CLASSES}")
    full = RetentionClass(name=FULL, step_ms=step_ms, retention_s=retention_s)
    names: set[str] = {FULL}
    for former, each in pairwise([full, *classes]):
        if not _NAME.fullmatch(each.name) or each.name in names:
            raise _wrong(
                each, f"name is {each.name!r}", "up to 32 of a-z, 0-9 and -, each name once"
            )
        names.add(each.name)
        _check_reach(each, former)
        _check_series(each)
    return list(classes)


def dropped_keys(classes: Sequence[RetentionClass]) -> frozenset[str]:
    """Keys that series of the last of these classes no longer have."""
    return frozenset([AGGREGATE, *(key for each in classes for key in each.drop_tags)])


def _is_coarser(each: RetentionClass, step_ms: int, retention_s: int) -> bool:
    return each.step_ms > step_ms and each.step_ms % step_ms == 0 and each.retention_s > retention_s


def _check_reach(each: RetentionClass, former: RetentionClass) -> None:
    try:
        check_query_step(each.step_ms, former.step_ms)
    except InvalidStepError as error:
        raise InvalidClassError(f"retention class {each.name!r}: {error}") from error
    if each.step_ms == former.step_ms:
        raise _wrong(
            each,
            f"step_ms is {each.step_ms}",
            f"more than the {former.step_ms} of class {former.name}, which it is made of",
        )
    least = max(former.retention_s, 2 * each.step_ms // 1000)
    if each.retention_s < least:
        raise _wrong(
            each,
            f"retention_s is {each.retention_s}",
            f"{least} or more: as long as class {former.name}, and two of its own steps",
        )


def _check_series(each: RetentionClass) -> None:
    for key in each.drop_tags:
        if key in _KEPT_TAGS or not key:
            kept = ", ".join(sorted(_KEPT_TAGS))
            raise _wrong(each, f"drop_tags holds {key!r}", f"any key but {kept}")


def _wrong(each: RetentionClass, what: str, allowed: str) -> InvalidClassError:
    return InvalidClassError(f"retention class {each.name!r}: {what}; allowed: {allowed}")
