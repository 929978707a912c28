"""Which copy of a service: losses by instance as its callers saw them, saturation, silence."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.accounts import Accounts
from breakwater.topology import CallWindow, total

Array = NDArray[np.float64]

_CONCENTRATED = 0.8
_SILENT_STEPS = 3
_LATEST = 3
"""A report of use covers the second before it, so the first ones after an onset still look idle."""


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """One instance since the onset; `loss` is lost request-seconds per second at it.

    cpu is the mean before and the latest after, stall_s the means; NaN when nothing was reported.
    """

    service: str
    instance: str
    loss: float
    calls_per_s: float
    is_silent: bool
    is_saturated: bool
    cpu_before: float
    cpu_after: float
    stall_before_s: float
    stall_after_s: float


def instance_states(window: CallWindow, accounts: Accounts) -> list[InstanceState]:
    """The state of every instance of the window, in the window's order."""
    step_s = window.step_ms / 1000
    before, after = accounts.before, accounts.after
    calls = total(window.seen_calls)
    states = []
    for at, key in enumerate(window.instances):
        loss = float(
            (accounts.instance_s[at, after] + accounts.instance_failed[at, after]).mean() / step_s
        )
        cpu = (_mean(window.cpu[at, before]), _mean(window.cpu[at, after], latest=_LATEST))
        stall = (_mean(window.stall_s[at, before]), _mean(window.stall_s[at, after]))
        states.append(
            InstanceState(
                service=key.service,
                instance=key.instance,
                loss=loss,
                calls_per_s=float(calls[at, after].mean() / step_s),
                is_silent=_is_silent(window.alive[at], before),
                is_saturated=_is_saturated(cpu, stall),
                cpu_before=cpu[0],
                cpu_after=cpu[1],
                stall_before_s=stall[0],
                stall_after_s=stall[1],
            )
        )
    return states


def concentrated_on(states: list[InstanceState]) -> InstanceState | None:
    """The one instance that carries the loss while another with traffic does not, or None."""
    active = [state for state in states if state.calls_per_s > 0 or state.loss > 0]
    whole = sum(max(state.loss, 0.0) for state in active)
    if len(active) < 2 or whole <= 0:
        return None
    worst = max(active, key=lambda state: state.loss)
    return worst if worst.loss >= _CONCENTRATED * whole else None


def _mean(values: Array, *, latest: int = 0) -> float:
    """Mean of what was reported, or of the `latest` reports of it; NaN when nothing was."""
    known = values[np.isfinite(values)][-latest:]
    return float(known.mean()) if len(known) else float("nan")


def _is_silent(alive: Array, before: NDArray[np.bool_]) -> bool:
    """It reported through most of the baseline and has said nothing for the last steps."""
    heard = np.nan_to_num(alive) > 0
    return bool(heard[before].mean() > 0.5 and not heard[-_SILENT_STEPS:].any())


def _is_saturated(cpu: tuple[float, float], stall: tuple[float, float]) -> bool:
    busy = cpu[1] > 0.5 and cpu[1] > cpu[0] + 0.35
    stalled = stall[1] > 0.02 and stall[1] > 2 * stall[0]
    return busy or (stalled and cpu[1] > 2 * cpu[0] and cpu[1] > 0.3)
