"""What can go wrong when processes are started, watched and stopped.

BreakwaterError
├── InvalidInputError
│   ├── InvalidSpecError        a process description that cannot be started as it is
│   ├── DuplicateProcessError   the name belongs to a process that still runs
│   └── UnknownProcessError     no process of that name; carries the names there are
└── UnavailableError
    ├── StartFailedError        a process ended or stayed silent before it was ready
    ├── SupervisorStoppedError  the supervisor is stopping or was never entered
    └── ProcessesLeftError      the kernel did not end a process even after SIGKILL
"""

from collections.abc import Iterable, Sequence

from breakwater.model import InvalidInputError, UnavailableError


class InvalidSpecError(InvalidInputError):
    """A process description that cannot be started as it is; nothing was started."""


class DuplicateProcessError(InvalidInputError):
    """A name given twice, or the name of a process that still runs."""

    def __init__(self, name: str) -> None:
        super().__init__(f"process '{name}' is already there; names must differ")
        self.name = name


class UnknownProcessError(InvalidInputError):
    """No process of this name was started here."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"there is no process '{name}'; started here: {names}")
        self.name = name


class StartFailedError(UnavailableError):
    """A process did not become ready; `tail` holds the last lines of its output."""

    def __init__(self, name: str, happened: str, tail: Sequence[str]) -> None:
        lines = "\n  ".join(tail) or "(it wrote nothing)"
        super().__init__(f"process {name} {happened}; its last lines:\n  {lines}")
        self.name = name
        self.tail = tuple(tail)


class SupervisorStoppedError(UnavailableError):
    """The supervisor is stopping its processes, or its `async with` was never entered."""


class ProcessesLeftError(UnavailableError):
    """Processes the kernel did not end after SIGKILL, usually held in an uninterruptible wait."""

    def __init__(self, left: Sequence[tuple[str, int]]) -> None:
        shown = ", ".join(f"{name} (pid {pid})" for name, pid in left)
        super().__init__(f"still there after SIGKILL: {shown}")
        self.left = tuple(left)
