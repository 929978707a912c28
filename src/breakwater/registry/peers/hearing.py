"""Whether a peer that passes renewals on can be heard at present."""

from typing import Final

import msgspec

from breakwater.model import Clock

SILENT_PINGS: Final = 2.5
"""A peer speaks at every ping interval; after so many of them it counts as silent."""
_OWED_S: Final = 30.0
"""For so long at most a peer that is back stays silent for want of a comparison."""


class Voice(msgspec.Struct):
    """When one peer was heard last, and since when it owes a comparison after a silence."""

    heard_s: float
    owes_since_s: float | None


class Hearing:
    """Peers of our own kind by name, as they speak to us.

    A peer that was silent and speaks again stays silent in this sense until the two registries
    have compared what they know: only then are the renewals it heard meanwhile known here.
    """

    def __init__(self, clock: Clock, *, ping_s: float) -> None:
        self._clock = clock
        self._silent_after_s = SILENT_PINGS * ping_s
        self._voices: dict[str, Voice] = {}

    def heard(self, name: str) -> bool:
        """Note that a peer has spoken; whether it is back after a silence."""
        now_s = self._clock.monotonic_s()
        voice = self._voices.get(name)
        if voice is None:
            self._voices[name] = Voice(now_s, None)
            return False
        is_back = now_s - voice.heard_s > self._silent_after_s
        if is_back:
            voice.owes_since_s = now_s
        voice.heard_s = now_s
        return is_back

    def compared(self, name: str) -> None:
        """Note that all a peer knows is known here now."""
        voice = self._voices.get(name)
        if voice is not None:
            voice.owes_since_s = None

    def forget(self, name: str) -> None:
        """A peer goes by another name now."""
        self._voices.pop(name, None)

    def knows(self, name: str) -> bool:
        """Whether that peer has ever spoken since the start."""
        return name in self._voices

    def is_silent(self, name: str) -> bool:
        """Whether a peer that `knows` cannot be heard, or was not compared with since."""
        voice = self._voices[name]
        now_s = self._clock.monotonic_s()
        if now_s - voice.heard_s > self._silent_after_s:
            return True
        return voice.owes_since_s is not None and now_s - voice.owes_since_s <= _OWED_S

    def last_heard_s(self, name: str) -> float | None:
        """How long ago a peer spoke last, if it ever did."""
        voice = self._voices.get(name)
        return None if voice is None else self._clock.monotonic_s() - voice.heard_s
