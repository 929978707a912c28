"""The way back to full traffic after a recovery: a growing share of the calls instead of all."""


class Ramp:
    """Lets a share of the calls through that grows from none to all in `length_s`.

    The share is dealt out evenly, not drawn: each call adds the present share to a credit and goes
    when the credit holds one. The first call goes, so that an idle service is not refused its only
    one. Called under the breaker's lock.
    """

    __slots__ = ("_credit", "_since_s", "length_s")

    def __init__(self, since_s: float, length_s: float) -> None:
        self._since_s = since_s
        self._credit = 1.0
        self.length_s = length_s

    @property
    def ends_s(self) -> float:
        """When every call goes through again."""
        return self._since_s + self.length_s

    def share(self, now_s: float) -> float:
        """The share of calls let through at `now_s`, 0 to 1."""
        if now_s >= self.ends_s or not self.length_s:
            return 1.0
        return max(0.0, (now_s - self._since_s) / self.length_s)

    def admits(self, now_s: float) -> bool:
        """Whether this call goes through."""
        credit = self._credit + self.share(now_s)
        if credit < 1.0:
            self._credit = credit
            return False
        self._credit = credit - 1.0
        return True
