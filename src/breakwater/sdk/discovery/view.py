"""The local copy of the registry: who is up, as last heard, whatever became of the registry.

A registry that restarts is empty until everybody has registered again. The first answer after a
silence or a broken connection, and one that goes back in revision, are therefore taken with a
grace time: for as long as a lease lasts, instances not listed are kept.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import Clock, Instance, InstanceView
from breakwater.sdk.poll import WAIT_S, LongPoll, PollStats
from breakwater.sdk.settings import Address

if TYPE_CHECKING:
    from random import Random

GRACE_S: Final = 15.0
PATH: Final = "/api/v1/registry/instances"


class ViewStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many instances are known, whether some are kept on grace, and how the poll fares."""

    instances: int
    is_on_grace: bool
    poll: PollStats


class RegistryView:
    """All instances of the registry that are UP, by service name (in lower case).

    Reading is a dictionary look-up on an immutable snapshot; only the poll thread writes.
    """

    def __init__(self, address: Address | None, *, clock: Clock, random: "Random") -> None:
        self._clock = clock
        self._by_service: dict[str, tuple[Instance, ...]] = {}
        self._heard: tuple[Instance, ...] = ()
        self._kept: tuple[Instance, ...] = ()
        self._grace_ends_s = 0.0
        self._revision: int | None = None
        self._breaks = 0
        self._poll = (
            None
            if address is None
            else LongPoll(address, PATH, self.accept, random=random, wait_s=self._wait_s)
        )

    def start(self) -> None:
        """Start to follow the registry."""
        if self._poll is not None:
            self._poll.start()

    def stop(self) -> None:
        """Stop following; what is known stays known."""
        if self._poll is not None:
            self._poll.stop()

    def wait_first(self, timeout_s: float) -> bool:
        """Wait until the registry answered once or failed to, at most `timeout_s`."""
        return self._poll is None or self._poll.wait_first(timeout_s)

    def instances(self, service: str) -> tuple[Instance, ...]:
        """The instances of `service` that are UP, in the registry's order."""
        return self._by_service.get(service.lower(), ())

    def accept(self, body: bytes) -> int:
        """Take in one answer (InstanceView JSON) and return its revision.

        Raises msgspec.DecodeError, a ValueError, for anything else; the copy then stays.
        """
        view = _DECODER.decode(body)
        up = tuple(one for one in view.instances if one.status == "UP")
        now_s = self._clock.monotonic_s()
        if self._is_doubtful(view):
            self._kept = (*self._kept, *self._heard)
            self._grace_ends_s = now_s + GRACE_S
        elif now_s >= self._grace_ends_s:
            self._kept = ()
        listed = {one.instance_id for one in view.instances}
        missing = {one.instance_id: one for one in self._kept if one.instance_id not in listed}
        self._kept = tuple(missing.values())
        self._revision, self._heard = view.revision, up
        self._publish((*up, *self._kept))
        return view.revision

    def _is_doubtful(self, view: InstanceView) -> bool:
        """Whether the registry may have lost what it knew since the answer before this one."""
        breaks = 0 if self._poll is None else self._poll.breaks
        was_broken, self._breaks = breaks > self._breaks, breaks
        went_back = self._revision is not None and view.revision < self._revision
        return was_broken or went_back

    def _publish(self, instances: tuple[Instance, ...]) -> None:
        grouped: dict[str, list[Instance]] = {}
        for one in instances:
            grouped.setdefault(one.service.lower(), []).append(one)
        self._by_service = {name: tuple(members) for name, members in grouped.items()}

    def _wait_s(self) -> float:
        """Ask again soon while instances are kept on grace, so that they go in time."""
        return WAIT_S if not self._kept else min(WAIT_S, GRACE_S / 5)

    def stats(self) -> ViewStats:
        """How much is known, and how the poll fares."""
        poll = self._poll
        return ViewStats(
            instances=sum(len(members) for members in self._by_service.values()),
            is_on_grace=bool(self._kept),
            poll=_NO_POLL if poll is None else poll.stats(),
        )


_DECODER: Final = msgspec.json.Decoder(InstanceView)
_NO_POLL: Final = PollStats(
    is_running=False, revision=None, answers=0, failures=0, last_failure="no platform"
)
