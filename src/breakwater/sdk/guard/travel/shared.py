"""What all commands of one registry share; light, so that a service without commands stays so."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from breakwater.model import Clock
from breakwater.sdk.guard.hooks import Hooks

if TYPE_CHECKING:
    from random import Random

    from breakwater.sdk.faults import RuleBook
    from breakwater.sdk.guard.retrying.budget import Budgets


class Shared:
    """See above; made by `Guards`."""

    __slots__ = (
        "_budgets", "_workers", "clock", "faults", "hooks", "now_s", "random", "sleep",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        random: "Random",
        sleep: Callable[[float], None],
        faults: "RuleBook | None" = None,
    ) -> None:
        self.clock = clock
        self.now_s = monotonic_of(clock)
        self.random = random
        self.sleep = sleep
        self.faults = faults
        self.hooks = Hooks()
        self._budgets: Budgets | None = None
        self._workers: dict[str, Any] = {}

    @property
    def budgets(self) -> "Budgets":
        """The retry budgets, by dependency."""
        if self._budgets is None:
            from breakwater.sdk.guard.retrying.budget import Budgets  # noqa: PLC0415 - only for retries

            self._budgets = Budgets()
        return self._budgets

    @property
    def workers(self) -> dict[str, Any]:
        """Thread pools by name; filled by `assemble`."""
        return self._workers


def monotonic_of(clock: Clock) -> Callable[[], float]:
    """The clock's `monotonic_s`, without the detour where it is the machine's own."""
    import time  # noqa: PLC0415 - only to look behind SystemClock

    from breakwater.model import SystemClock  # noqa: PLC0415 - as above

    return time.monotonic if type(clock) is SystemClock else clock.monotonic_s
