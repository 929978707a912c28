"""Is it over: the paged window against its own baseline."""

import numpy as np

from breakwater.diagnosis.signals import root_edges
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.topology import CallWindow, failures, total


def has_recovered(window: CallWindow, onset_ms: int, limits: Thresholds, *, steps: int = 6) -> bool:
    """Whether the last `steps` steps are as good as the steps before `onset_ms`.

    Good means: no edge fails noticeably more, and no edge from a root is noticeably slower. A
    window without calls in the last steps has not recovered.
    """
    before = window.end_ms <= onset_ms - window.step_ms
    if not before.any() or window.steps < steps:
        return False
    calls, bad = total(window.client_calls), failures(window.client_calls)
    recent = slice(-steps, None)
    if calls[root_edges(window)][:, recent].sum() <= 0:
        return False
    was = bad[:, before].sum(axis=1) / np.maximum(calls[:, before].sum(axis=1), 1.0)
    now = bad[:, recent].sum(axis=1) / np.maximum(calls[:, recent].sum(axis=1), 1.0)
    noticed = bad[:, recent].sum(axis=1) >= 2
    if (noticed & (now > was + limits.min_failed_share)).any():
        return False
    roots = root_edges(window)
    time_s = window.client_time_s[roots]
    slow_was = time_s[:, before].sum(axis=1) / np.maximum(calls[roots][:, before].sum(axis=1), 1.0)
    slow_now = time_s[:, recent].sum(axis=1) / np.maximum(calls[roots][:, recent].sum(axis=1), 1.0)
    margin = np.maximum(limits.min_added_latency_s, limits.min_latency_ratio * slow_was)
    return not (slow_now > slow_was + margin).any()
