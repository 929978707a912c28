"""Why a fault was not started, or not undone.

BreakwaterError
├── InvalidInputError
│   ├── InvalidFaultError     the request makes no sense as it is; says what the kind takes
│   ├── UnknownTargetError    no such service or instance; carries those there are
│   └── UnknownFaultError     no fault of this id
├── LimitExceededError
│   ├── BlastRadiusError      too long, too many at once, or too large a share of a service
│   └── TooManyWaitersError   too many long polls for rules at once
└── UnavailableError
    ├── LeashedError          a dry run only; carries the plan that was not carried out
    ├── VictimError           the process is gone, another one, somebody else's, or elsewhere
    ├── NotRecordedError      journal or undo ledger cannot be written, so nothing was touched
    ├── LedgerInUseError      another platform process holds the undo ledger
    └── UndoFailedError       a process could not be continued; it is tried again until it is
"""

from collections.abc import Iterable

from breakwater.chaos.fault import Plan
from breakwater.model import InvalidInputError, LimitExceededError, UnavailableError


class InvalidFaultError(InvalidInputError):
    """A request that makes no sense as it is; nothing was touched."""


class UnknownTargetError(InvalidInputError):
    """A service or instance that is not registered; carries those that are."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        super().__init__(f"there is no {what} '{name}'; registered: {', '.join(names) or 'none'}")
        self.known = names


class UnknownFaultError(InvalidInputError):
    """No fault of this id, running or recently ended."""

    def __init__(self, fault_id: str, running: Iterable[str]) -> None:
        names = ", ".join(sorted(running)) or "none"
        super().__init__(f"there is no fault '{fault_id}'; running: {names}")


class BlastRadiusError(LimitExceededError):
    """The fault would last longer, or hit more at once, than the settings allow."""


class TooManyWaitersError(LimitExceededError):
    """More long polls for rules than the platform keeps open at once; ask again later."""


class LeashedError(UnavailableError):
    """Chaos is leashed: the plan was made and is shown, nothing was touched."""

    def __init__(self, plan: Plan) -> None:
        shown = "; ".join(touch.what for touch in plan.targets)
        super().__init__(
            f"chaos is leashed and touched nothing; it would {shown}. "
            "To unleash it, start the platform with the setting chaos.leashed = false"
        )
        self.plan = plan


class VictimError(UnavailableError):
    """The process behind an instance cannot be signalled: it is not, or not ours, to touch."""


class NotRecordedError(UnavailableError):
    """The fault could not be written down, so it was not started."""


class LedgerInUseError(UnavailableError):
    """Another process holds the undo ledger; two platforms must not share one."""


class UndoFailedError(UnavailableError):
    """A frozen process could not be continued; the fault stays on the list and is retried."""
