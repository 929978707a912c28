"""Own impact: what a service lost on its own account.

A service that waits for a slow callee is slow itself, and one whose callee fails may fail too.
Subtracting what was lost beneath leaves what was lost here. Concurrency is request-seconds per
second (Little 1961: L = lambda W), so excess request-seconds of a caller contain those of its
callees, and the difference is physical: it needs no model of the services.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.errors import UnknownServiceError

Array = NDArray[np.float64]


def own_impact(
    excess: Array, edge_excess: Array, edges: Sequence[tuple[str, str]], services: Sequence[str]
) -> Array:
    """Excess of each service less the excess of the calls it made.

    excess: float64 [services, steps], request-seconds or failed requests above the baseline.
    edge_excess: float64 [edges, steps], the part of it seen on each outgoing call; only losses
    count (a callee that got faster does not make its caller guilty).
    Returns float64 [services, steps], may be negative. Raises UnknownServiceError when an edge
    names a service without a row. O(edges x steps).
    """
    row = {name: at for at, name in enumerate(services)}
    own = excess.astype(np.float64, copy=True)
    for at, (caller, callee) in enumerate(edges):
        if caller not in row or callee not in row:
            missing = caller if caller not in row else callee
            raise UnknownServiceError(
                f"edge {caller}->{callee}: service '{missing}' has no row; rows: {sorted(row)}"
            )
        own[row[caller]] -= np.maximum(edge_excess[at], 0.0)
    return own


def excess_time(time_s: Array, calls: Array, before: NDArray[np.bool_]) -> Array:
    """Request-seconds above what the same number of calls took before, [..., T].

    before: bool [T], the baseline steps. The baseline is the call-weighted mean latency there; a
    row without calls in the baseline has cost nothing so far, so all of its time is excess.
    """
    expected: Array = calls * baseline_ratio(time_s, calls, before)[..., None]
    return np.asarray(time_s - expected)


def baseline_ratio(part: Array, whole: Array, before: NDArray[np.bool_]) -> Array:
    """Sum of `part` over sum of `whole` in the baseline steps, [...]; 0 where there was none."""
    whole_sum = whole[..., before].sum(axis=-1)
    part_sum = part[..., before].sum(axis=-1)
    ratio = np.divide(part_sum, whole_sum, out=np.zeros_like(part_sum), where=whole_sum > 0)
    return np.asarray(ratio)
