"""What all calls of one function share: how many are under way, and the budget of their retries.

Strategies see one call and cannot know that a thousand others are trying again too. So the guard's
budget has a say: an outage costs at most what the bucket holds and what successes put into it
(the AWS arithmetic: 500 tokens, 5 a retry, 10 after a timeout). It is asked only where retries
could multiply: not for a call that is alone, not for one whose function said `TryAgain`, not
when an answer is polled for, and not where the program says `stop_never`.
"""

import threading
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from breakwater.sdk.guard.config import BudgetConfig
from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.guard.retrying.budget import Budget, Token, aws_standard

USUAL: Final = aws_standard()
"""The budget of a function whose decorator names none."""

_lock: Final = threading.Lock()
_by_guards: WeakKeyDictionary[Guards, WeakValueDictionary[str, "Allowance"]] = WeakKeyDictionary()


class Allowance:
    """See above; made by `allowance_of`, thread-safe."""

    def __init__(self, name: str, budget: Budget) -> None:
        self.name = name
        self._budget = budget
        self._lock = threading.Lock()
        self._under_way = 0
        budget.add_source(self)

    def in_flight(self) -> int:
        """Calls under way, waits between attempts included."""
        return self._under_way

    def enter(self) -> None:
        """A call begins."""
        with self._lock:
            self._under_way += 1

    def leave(self) -> None:
        """It ended, however."""
        with self._lock:
            self._under_way -= 1

    def spend(self, error: BaseException) -> Token | None:
        """Leave to try again after `error`, None if there is no budget left."""
        self._budget.on_failure()
        return self._budget.try_spend("timeout" if isinstance(error, TimeoutError) else "transient")

    @property
    def is_alone(self) -> bool:
        """Whether no more than one call is under way."""
        return self._under_way <= 1

    def settle(self, token: Token | None, *, succeeded: bool, attempt: int) -> None:
        """An attempt ended; token: of the retry it was."""
        if token is not None:
            self._budget.settle(token, succeeded=succeeded)
        if succeeded:
            self._budget.on_successes(1, first_tries=int(attempt == 1))

    def give_back(self, token: Token) -> None:
        """The retry was not made after all."""
        self._budget.give_back(token)


def allowance_of(name: str, guards: Guards, config: BudgetConfig) -> Allowance:
    """The one allowance of all functions of this name; it lives as long as one of them does."""
    with _lock:
        known = _by_guards.setdefault(guards, WeakValueDictionary())
        found = known.get(name)
        if found is None:
            budget = guards.shared.budgets.of(f"tenacity:{name}", config)
            found = known[name] = Allowance(name, budget)
        return found
