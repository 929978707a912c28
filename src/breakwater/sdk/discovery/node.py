"""One instance as this process calls it: what is under way there, and what is held against it."""

from typing import Final

from breakwater.model import Instance
from breakwater.sdk.discovery.hashing import seed_of

IN_USE: Final = 0
EJECTED: Final = 1
REFUSED: Final = 2
"""Standings, from best to worst; a table says up to which one it uses instances."""

MOST_WEIGHT: Final = 100.0
WEIGHT_KEY: Final = "weight"
_LIFE: Final = ("pid", "pid_started")


class Node:
    """Mutable; written under the lock of its `Callee` only, read without.

    share: its weight at this moment, slow start included. epoch: grows with each change of
    standing, so that a call that began under an earlier one moves nothing. trial_at_s: when one
    call may be tried; trial_ends_s: when the one that is out is given up. turn: when it was last
    chosen, in picks of the service.
    """

    __slots__ = (
        "born_s", "calls", "cause", "ejections", "epoch", "failures", "failures_in_row", "id",
        "in_flight", "instance", "is_member", "is_near", "out", "refusals_in_row", "refused",
        "seed", "share", "timeouts", "told", "trial_at_s", "trial_ends_s", "turn", "weight",
        "window_calls", "window_failures",
    )  # fmt: skip

    def __init__(self, instance: Instance, *, is_near: bool, born_s: float) -> None:
        self.instance = instance
        self.id = instance.instance_id
        self.is_near = is_near
        self.born_s = born_s
        self.weight = self.share = weight_of(instance)
        self.out = IN_USE
        self.cause = ""
        self.epoch = self.turn = self.in_flight = self.ejections = 0
        self.failures_in_row = self.refusals_in_row = 0
        self.trial_at_s = self.trial_ends_s = 0.0
        self.calls = self.failures = self.refused = self.timeouts = 0
        self.told = (0, 0, 0, 0)
        self.window_calls = self.window_failures = 0
        self.is_member = True
        self.seed: int | None = None

    @property
    def hashed(self) -> int:
        """The seed of its id; computed when first asked for."""
        if self.seed is None:
            self.seed = seed_of(self.id)
        return self.seed

    def is_due(self, now_s: float) -> bool:
        """Whether one call may be sent there to see whether it is well again."""
        return self.out != IN_USE and self.trial_at_s <= now_s and self.trial_ends_s <= now_s


def weight_of(instance: Instance) -> float:
    """Its share of calls beside others, from the metadata `weight`: above 0 to 100, else 1."""
    text = instance.metadata.get(WEIGHT_KEY)
    if text is None:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0.0 < weight <= MOST_WEIGHT else 1.0


def is_same(one: Instance, other: Instance) -> bool:
    """Whether both are the same life of the same process, as far as can be seen."""
    if (one.host, one.port) != (other.host, other.port):
        return False
    if one.up_since_ms and other.up_since_ms and one.up_since_ms != other.up_since_ms:
        return False
    return all(one.metadata.get(key) == other.metadata.get(key) for key in _LIFE)
