"""Bulkhead: at most so many calls to one dependency under way; the next one is refused at once."""

import msgspec

from breakwater.sdk.errors import SettingsError


class BulkheadStats(msgspec.Struct, frozen=True, kw_only=True):
    """Permits in all, permits out now, and calls refused for want of one."""

    limit: int
    in_use: int
    rejected: int


class Bulkhead:
    """A pile of permits: taking one is a list pop, giving it back an append, both atomic."""

    __slots__ = ("_permits", "limit", "rejected")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise SettingsError(f"max_concurrent is {limit}, must be at least 1")
        self.limit = limit
        self.rejected = 0
        self._permits: list[None] = [None] * limit

    def try_enter(self) -> bool:
        """Take a permit; False, at once, if all are out."""
        try:
            self._permits.pop()
        except IndexError:
            self.rejected += 1
            return False
        return True

    def leave(self) -> None:
        """Give the permit back; exactly once for each `try_enter` that returned True."""
        self._permits.append(None)

    def stats(self) -> BulkheadStats:
        """How full it is."""
        return BulkheadStats(
            limit=self.limit, in_use=self.limit - len(self._permits), rejected=self.rejected
        )
