"""The last good copy of an answer, kept for the minutes in which no new one is to be had.

Used where a stale answer is better than none (titles, manifests, profiles); never for a licence.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class LastGood(Generic[T]):
    """A bounded table that forgets the copy refreshed longest ago."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._copies: OrderedDict[str, T] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._copies)

    def keep(self, key: str, value: T) -> T:
        """Remember `value` as the newest good copy for `key`, and return it."""
        self._copies[key] = value
        self._copies.move_to_end(key)
        if len(self._copies) > self._limit:
            self._copies.popitem(last=False)
        return value

    def copy(self, key: str, error: Exception) -> T:
        """The last good copy for `key`; raises `error`, why it is needed, if there is none."""
        if key not in self._copies:
            raise error
        return self._copies[key]

    def get(self, key: str) -> T | None:
        """The last good copy, or None."""
        return self._copies.get(key)
