"""A game day's outcome and its picture, from samples alone."""

import msgspec
import pytest

from breakwater.drill.gameday import Deed, Exercise, GameDay, Sample, outcome
from breakwater.drill.gameday_picture import gameday_svg, said


def sample(second: int, **counts: int) -> Sample:
    """What the players had counted after so many seconds."""
    fields = dict.fromkeys(
        ("requests", "errors", "wanted", "unserved", "segments", "segment_errors"), 0
    )
    return Sample(at_ms=1_000 * second, **{**fields, **counts})


def day(exercise: Exercise, **last: int) -> GameDay:
    """A day in which the players counted `last` beyond what they had before."""
    before = sample(10, requests=100, errors=3, wanted=50, unserved=2, segments=70)
    after = sample(20, **{key: getattr(before, key) + value for key, value in last.items()})
    after = msgspec.structs.replace(
        after,
        **{key: getattr(before, key) for key in ("requests", "errors", "wanted", "unserved",
           "segments", "segment_errors") if key not in last},
    )  # fmt: skip
    deeds = [
        Deed(what="ranker-a-1", start_ms=11_000, end_ms=13_000),
        Deed(what="ranker-b-1", start_ms=14_000, end_ms=16_000),
    ]
    return outcome(exercise, [before, after], deeds, before, after)


@pytest.mark.parametrize(
    ("exercise", "counted", "holds"),
    [
        (Exercise.ROLLING_RESTART, {"wanted": 30, "requests": 200}, True),
        (Exercise.ROLLING_RESTART, {"wanted": 30, "errors": 1, "segment_errors": 2}, True),
        (Exercise.ROLLING_RESTART, {"wanted": 30, "unserved": 1}, False),
        (Exercise.ROLLING_RESTART, {"requests": 200}, False),
        (Exercise.REGISTRY_OUTAGE, {"wanted": 30, "requests": 200}, True),
        (Exercise.REGISTRY_OUTAGE, {"wanted": 30, "errors": 1}, False),
        (Exercise.REGISTRY_OUTAGE, {"wanted": 30, "segment_errors": 1}, False),
        (Exercise.REGISTRY_OUTAGE, {"wanted": 30, "unserved": 1}, False),
    ],
)
def test_only_what_was_counted_meanwhile_is_judged(
    exercise: Exercise,
    counted: dict[str, int],
    holds: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Failures from before do not count; nobody coming to watch proves nothing."""
    assert day(exercise, **counted).holds is holds


def test_the_outcome_is_said_in_a_sentence() -> None:
    """With what failed, and of how many."""
    told = said(day(Exercise.ROLLING_RESTART, wanted=30, unserved=1, requests=200, errors=4))
    assert told.startswith("1 of 30 stream starts, 4 of 200 edge requests")


@pytest.mark.parametrize("exercise", list(Exercise))
def test_the_picture_shows_what_was_done(exercise: Exercise) -> None:
    """One name for many restarts, and the outcome above."""
    picture = gameday_svg(day(exercise, wanted=30, requests=200, segments=10))
    assert picture.count(">restarts<") == 1
    assert "0 of 30 stream starts" in picture
