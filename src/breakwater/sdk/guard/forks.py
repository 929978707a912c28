"""Prefork servers: threads do not survive a fork, so whoever counts its own must start anew.

A pool that was used in the parent would otherwise wait in the child, for ever, for threads that
exist in the parent only. Calls that other threads of the parent had under way at that moment keep
their permits in the child: fork before the first call, or from a process with a single thread.
"""

import os
from typing import Final, Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something with threads of its own."""

    def forked(self) -> None:
        """This is a forked child: none of the threads is here. Called before anything else."""
        ...


_OWNERS: Final[WeakSet[Forked]] = WeakSet()


def mend_after_fork(owner: Forked) -> None:
    """Let `owner.forked` be called in every forked child, as long as it lives."""
    _OWNERS.add(owner)


def _mend_all() -> None:
    for owner in tuple(_OWNERS):
        owner.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mend_all)
