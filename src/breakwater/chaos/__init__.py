"""Breaking things on purpose, with a leash, a clock and a way back.

`Chaos` turns a `FaultRequest` into rules that services obey or into signals to one process. It
promises: nothing is touched while it is leashed; a fault is written down, and its undo is on disk,
before it touches anything; every fault ends by itself; what a crash of the platform leaves behind
is undone at once by a dead-man process and again at the next start; `undo_all` always works.
What may be done is decided by the pure function `decide`; everything else only performs it.
"""

from typing import TYPE_CHECKING

from breakwater.chaos.decision import decide
from breakwater.chaos.errors import (
    BlastRadiusError,
    InvalidFaultError,
    LeashedError,
    LedgerInUseError,
    NotRecordedError,
    TooManyWaitersError,
    UndoFailedError,
    UnknownFaultError,
    UnknownTargetError,
    VictimError,
)
from breakwater.chaos.fault import (
    ChaosKind,
    ChaosStats,
    Fault,
    FaultRequest,
    FaultState,
    Machine,
    Plan,
    ProcessAct,
    Touch,
)
from breakwater.chaos.settings import ChaosSettings

if TYPE_CHECKING:
    from breakwater.chaos.chronicle import FaultJournal
    from breakwater.chaos.injector import Chaos

__all__ = [
    "BlastRadiusError",
    "Chaos",
    "ChaosKind",
    "ChaosSettings",
    "ChaosStats",
    "Fault",
    "FaultJournal",
    "FaultRequest",
    "FaultState",
    "InvalidFaultError",
    "LeashedError",
    "LedgerInUseError",
    "Machine",
    "NotRecordedError",
    "Plan",
    "ProcessAct",
    "TooManyWaitersError",
    "Touch",
    "UndoFailedError",
    "UnknownFaultError",
    "UnknownTargetError",
    "VictimError",
    "decide",
]


def __getattr__(name: str) -> object:
    """Load `Chaos` on first use: commands that only speak HTTP need not pay for it."""
    if name in {"Chaos", "FaultJournal"}:
        from breakwater.chaos import injector  # noqa: PLC0415 - see above

        return getattr(injector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
