"""An instance that fell silent while others still called it: named although hardly a call failed.

Callers that balance pass a dead instance over after its first refused connection, so a crash costs
a handful of calls and no user. It is a crash all the same, and whoever owns the service wants to
know before the next copy goes. Silence alone is no fault, for instances are stopped on purpose;
but who leaves in good order is called by nobody afterwards. Silence and failed calls together are.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.onset import Onset
from breakwater.diagnosis.signals import Signal, SignalKind
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.diagnosis.verdict import Kind, Suspect
from breakwater.model import Status
from breakwater.topology import STATUSES, CallWindow, failures, total

Array = NDArray[np.float64]

_SILENT_STEPS = 5
"""So many last steps without a sign of life; a late report is not a death."""
_UNANSWERED = (Status.TIMEOUT, Status.CANCELLED)


class Vanished(msgspec.Struct, frozen=True, kw_only=True):
    """Which instance, since which step, and how many calls to it failed since."""

    signal: Signal
    suspect: Suspect


def vanished(window: CallWindow, limits: Thresholds) -> Vanished | None:
    """The instance that vanished with most calls failing, None if none did.

    It reported through most of the steps before, says nothing since, was called and answered
    before, and calls to it failed since its last sign of life. Fewer instances of its service
    live than before, for else it was replaced; but one does, for else the whole service is down
    and its callers tell.
    """
    heard = np.nan_to_num(window.alive) > 0
    found = []
    for at, key in enumerate(window.instances):
        since = _silent_since(heard[at])
        if since is None or since < limits.min_baseline_steps:
            continue
        failed = float(failures(window.seen_calls[at])[since - 1 :].sum())
        copies = [n for n, one in enumerate(window.instances) if one.service == key.service]
        lived = heard[copies, max(since - _SILENT_STEPS, 0) : since].any(axis=1).sum()
        live = heard[copies, -_SILENT_STEPS:].any(axis=1).sum()
        was_called = window.seen_calls[at][:, :since].sum() > 0
        if failed >= 1 and 0 < live < lived and was_called:
            found.append(_vanished(window, at, since, failed))
    return max(found, key=lambda one: one.suspect.score, default=None)


def _silent_since(heard: NDArray[np.bool_]) -> int | None:
    """The first step of a silence that lasts, of one that spoke through most steps before."""
    spoken = np.flatnonzero(heard)
    if not len(spoken):
        return None
    since = int(spoken[-1]) + 1
    is_silent = len(heard) - since >= _SILENT_STEPS
    return since if is_silent and heard[:since].mean() > 0.5 else None


def _vanished(window: CallWindow, at: int, since: int, failed: float) -> Vanished:
    key = window.instances[at]
    calls = window.seen_calls[at][:, since - 1 :].sum(axis=1)
    unanswered = sum(calls[STATUSES.index(status)] for status in _UNANSWERED)
    refused = calls[STATUSES.index(Status.CONNECTION_ERROR)]
    seconds = (window.steps - since + 1) * window.step_ms / 1000
    onset = Onset(
        index=since,
        low=max(since - 1, 0),
        high=since,
        llr=failed,
        before=_failed_share(window.seen_calls[at][:, : since - 1]),
        after=_failed_share(window.seen_calls[at][:, since - 1 :]),
    )
    signal = Signal(
        kind=SignalKind.INNER_FAILURES,
        name=f"failed calls to {key.instance}",
        onset=onset,
        unit="share",
        instance=key,
    )
    suspect = Suspect(
        service=key.service,
        kind=Kind.FREEZE if unanswered > refused else Kind.CRASH,
        score=failed / seconds,
        share=1.0,
        noise=failed,
        instance=key.instance,
    )
    return Vanished(signal=signal, suspect=suspect)


def _failed_share(calls: Array) -> float:
    """Failed calls of all, in counts by status [S, T]."""
    return float(failures(calls).sum() / max(total(calls).sum(), 1.0))
