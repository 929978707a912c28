"""Aids for tests of guarded code, ours and our users'; no extra is needed.

`Rehearsal` has the usual things together: a clock that moves only when told to or when somebody
waits, a registry of commands on it, seeded randomness. `ScriptedDependency` does what its script
says; `EventRecorder` keeps what happened and asserts on it; `forced` and `filled` put a command
into a state; `faulted` switches faults on; `run_virtual` runs asyncio in no time at all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from breakwater.testing.clock import FakeClock

if TYPE_CHECKING:
    from breakwater.testing.dependency import (
        HANG,
        ScriptedCall,
        ScriptedDependency,
        ScriptOverError,
        after,
        computed,
    )
    from breakwater.testing.events import EventRecorder, Expected, recording, told
    from breakwater.testing.faults import fault, faulted
    from breakwater.testing.loop import StuckError, VirtualTimeLoop, run_virtual
    from breakwater.testing.rehearsal import Rehearsal
    from breakwater.testing.seeds import seeded
    from breakwater.testing.states import filled, forced

_HOMES: Final = {
    "dependency": (
        "HANG", "ScriptOverError", "ScriptedCall", "ScriptedDependency", "after", "computed",
    ),
    "events": ("EventRecorder", "Expected", "recording", "told"),
    "faults": ("fault", "faulted"),
    "loop": ("StuckError", "VirtualTimeLoop", "run_virtual"),
    "rehearsal": ("Rehearsal",),
    "seeds": ("seeded",),
    "states": ("filled", "forced"),
}  # fmt: skip
"""Where each name lives; a module is imported when one of its names is first asked for."""

_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "HANG",
    "EventRecorder",
    "Expected",
    "FakeClock",
    "Rehearsal",
    "ScriptOverError",
    "ScriptedCall",
    "ScriptedDependency",
    "StuckError",
    "VirtualTimeLoop",
    "after",
    "computed",
    "fault",
    "faulted",
    "filled",
    "forced",
    "recording",
    "run_virtual",
    "seeded",
    "told",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
