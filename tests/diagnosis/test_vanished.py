"""An instance that dies while its callers pass it over is named, although few calls fail."""

import msgspec
import numpy as np
import pytest
from tests.diagnosis.simulation import Fault, simulate

from breakwater.diagnosis import Kind, Verdict, diagnose, has_recovered
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.model import Status
from breakwater.topology import STATUSES, CallWindow, InstanceKey

GONE = InstanceKey("licence", "licence-a-1")
SINCE = 85


def without(
    key: InstanceKey, failed: int, status: Status, *, comes_back: bool = False
) -> CallWindow:
    """A healthy fleet in which one instance falls silent, with so many failed calls to it."""
    window = simulate(3)
    at = window.instances.index(key)
    other = next(
        n for n, one in enumerate(window.instances) if one.service == key.service and n != at
    )
    seen, alive = window.seen_calls.copy(), window.alive.copy()
    seen[other][:, SINCE:] += seen[at][:, SINCE:]  # its callers go elsewhere
    seen[at][:, SINCE:] = 0
    seen[at][STATUSES.index(status), SINCE : SINCE + failed] = 1
    alive[at, SINCE : SINCE + 4 if comes_back else None] = np.nan
    return msgspec.structs.replace(window, seen_calls=seen, alive=alive)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Status.CONNECTION_ERROR, Kind.CRASH), (Status.TIMEOUT, Kind.FREEZE)],
)
@pytest.mark.parametrize("failed", [1, 3])
def test_silence_and_a_failed_call_are_enough(status: Status, kind: Kind, failed: int) -> None:
    """The instance is named with its kind and its moment; refused is dead, unanswered is frozen."""
    judged = diagnose(without(GONE, failed, status))
    assert judged.verdict is Verdict.CULPRIT
    assert judged.culprit is not None
    assert (judged.culprit.instance, judged.culprit.kind) == (GONE.instance, kind)
    assert judged.onset_ms == judged.start_ms + SINCE * judged.step_ms
    said = " ".join(one.statement for one in judged.evidence)
    assert "licence-a-1 has stopped reporting" in said


def test_who_leaves_in_good_order_is_accused_of_nothing() -> None:
    """It is silent, but nobody called it in vain: stopped, drained, scaled away."""
    judged = diagnose(without(GONE, 0, Status.TIMEOUT))
    assert judged.verdict is Verdict.NOTHING_WRONG


def test_who_comes_back_is_not_gone() -> None:
    """A restart of a few seconds is no disappearance."""
    window = without(GONE, 2, Status.CONNECTION_ERROR, comes_back=True)
    assert diagnose(window).culprit is None


def test_a_whole_service_that_is_down_is_left_to_its_callers() -> None:
    """What everybody feels is judged by what it costs, with the same name."""
    judged = diagnose(simulate(1, Fault("crash", "account", SINCE)))
    assert judged.culprit is not None
    assert judged.culprit.service == "account"
    assert judged.culprit.score > 1


def test_it_is_not_over_while_it_is_away() -> None:
    """Although no call fails any more; it is over when the instance speaks again."""
    limits = Thresholds()
    away = without(GONE, 2, Status.CONNECTION_ERROR)
    onset_ms = int(away.end_ms[SINCE])
    assert not has_recovered(away, onset_ms, limits)
    back = without(GONE, 2, Status.CONNECTION_ERROR, comes_back=True)
    assert has_recovered(back, onset_ms, limits)


def test_who_was_replaced_is_not_missed() -> None:
    """Another copy under another name makes up for it."""
    window = without(GONE, 2, Status.CONNECTION_ERROR)
    at = window.instances.index(GONE)
    fields = ("seen_calls", "seen_time_s", "served_calls", "served_time_s", "cpu", "stall_s")
    grown = {
        name: np.concatenate([getattr(window, name), getattr(window, name)[at : at + 1]])
        for name in fields
    }
    newcomer = np.full((1, window.steps), np.nan)
    newcomer[0, SINCE + 2 :] = 1
    replaced = msgspec.structs.replace(
        window,
        instances=(*window.instances, InstanceKey("licence", "licence-a-2")),
        alive=np.concatenate([window.alive, newcomer]),
        **grown,
    )
    assert diagnose(replaced).culprit is None
