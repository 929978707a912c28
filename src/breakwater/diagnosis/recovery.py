"""Is it over: the paged window against its own baseline."""

import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.thresholds import Thresholds
from breakwater.diagnosis.vanished import vanished
from breakwater.topology import CallWindow, failures, root_edges, total

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def has_recovered(window: CallWindow, onset_ms: int, limits: Thresholds, *, steps: int = 6) -> bool:
    """Whether the last `steps` steps are as good as the steps before `onset_ms`.

    Good means: no edge and no instance fails noticeably more, nothing users ask for is noticeably
    slower, and nobody who vanished is still away. A window without calls in the last steps has not
    recovered.
    """
    before = window.end_ms <= onset_ms - window.step_ms
    if not before.any() or window.steps < steps:
        return False
    recent = slice(-steps, None)
    if total(window.client_calls)[root_edges(window.edges)][:, recent].sum() <= 0:
        return False
    if vanished(window, limits) is not None:
        return False
    for calls in (window.client_calls, window.seen_calls):
        if _is_failing(calls, before, recent, limits):
            return False
    return not _is_slow(window, before, recent, limits)


def _is_failing(calls: Array, before: Mask, recent: slice, limits: Thresholds) -> bool:
    """Whether any row of counts by status [N, S, T] fails noticeably more than `before`."""
    count, bad = total(calls), failures(calls)
    was = bad[:, before].sum(axis=1) / np.maximum(count[:, before].sum(axis=1), 1.0)
    now = bad[:, recent].sum(axis=1) / np.maximum(count[:, recent].sum(axis=1), 1.0)
    noticed = bad[:, recent].sum(axis=1) >= 2
    return bool((noticed & (now > was + limits.min_failed_share)).any())


def _is_slow(window: CallWindow, before: Mask, recent: slice, limits: Thresholds) -> bool:
    """Whether anything users ask for still takes noticeably longer than in the steps `before`."""
    calls, time_s = window.route_calls, window.route_time_s
    was = time_s[:, before].sum(axis=1) / np.maximum(calls[:, before].sum(axis=1), 1.0)
    now = time_s[:, recent].sum(axis=1) / np.maximum(calls[:, recent].sum(axis=1), 1.0)
    margin = np.maximum(limits.min_added_latency_s, limits.min_latency_ratio * was)
    seen = (calls[:, before].sum(axis=1) > 0) & (calls[:, recent].sum(axis=1) >= 2)
    return bool((seen & (now > was + margin)).any())
