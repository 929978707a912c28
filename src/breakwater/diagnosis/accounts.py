"""The books of one window: what every service, edge and instance lost per second since the onset.

Three kinds of loss are kept apart because they break differently: time inside the callee's own
clock, time between the two clocks of an edge (the gap: network, queue, a request that never
arrived), and failed calls. All are losses against the same calls at their baseline cost.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.impact import baseline_ratio, excess_time, own_impact
from breakwater.model import Status
from breakwater.topology import CallWindow, failures, of_status, total

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """Losses per step; rows are `services` [S], edges [E] or instances [I] of the window.

    wait_s: own request-seconds [S, T]. gap_s: request-seconds between the clocks [E, T].
    edge_wait_s: excess seen by the callee on each edge [E, T]. edge_failed: excess failed calls
    by the caller's count [E, T]. failed: own failed calls [S, T]. lost: part of `edge_failed`
    that the callee never answered [E, T]. instance_s, instance_failed: what callers lost on each
    instance [I, T].
    """

    services: tuple[str, ...]
    wait_s: Array
    gap_s: Array
    edge_wait_s: Array
    edge_failed: Array
    failed: Array
    lost: Array
    instance_s: Array
    instance_failed: Array
    before: Mask
    after: Mask


def keep_accounts(window: CallWindow, before: Mask, after: Mask) -> Accounts:
    """Book every loss of the window against the steps in `before`. O(edges x statuses x steps)."""
    services = window.services
    calls, served = total(window.client_calls), total(window.server_calls)
    client_excess = excess_time(window.client_time_s, calls, before)
    server_excess = excess_time(window.server_time_s, served, before)
    edge_failed = _excess_failures(failures(window.client_calls), calls, before)
    edges = window.edges
    callee_row = np.array([services.index(edge.callee) for edge in edges], dtype=int)
    incoming_wait = np.zeros((len(services), window.steps))
    incoming_failed = np.zeros((len(services), window.steps))
    np.add.at(incoming_wait, callee_row, server_excess)
    np.add.at(incoming_failed, callee_row, edge_failed)
    seen = total(window.seen_calls)
    return Accounts(
        services=services,
        wait_s=own_impact(incoming_wait, client_excess, edges, services),
        gap_s=client_excess - server_excess,
        edge_wait_s=server_excess,
        edge_failed=edge_failed,
        failed=_own_failures(window, incoming_failed, edge_failed),
        lost=_lost(window, before),
        instance_s=excess_time(window.seen_time_s, seen, before),
        instance_failed=_excess_failures(failures(window.seen_calls), seen, before),
        before=before,
        after=after,
    )


def _excess_failures(bad: Array, calls: Array, before: Mask) -> Array:
    return bad - calls * baseline_ratio(bad, calls, before)[..., None]


def _own_failures(window: CallWindow, incoming: Array, edge_failed: Array) -> Array:
    """Failures at a service less those of its callees; more than all of them cannot be passed on.

    A caller that answers by fallback is not failed by its callee: then nothing comes in at the
    caller, and the callee keeps its failures on its own account all the same.
    """
    return own_impact(incoming, edge_failed, window.edges, window.services)


def _lost(window: CallWindow, before: Mask) -> Array:
    """Calls the caller gave up on or could not place, for which no answer of the callee exists."""
    unanswered = of_status(
        window.client_calls, Status.TIMEOUT, Status.CONNECTION_ERROR, Status.CANCELLED
    )
    return _excess_failures(unanswered, total(window.client_calls), before)
