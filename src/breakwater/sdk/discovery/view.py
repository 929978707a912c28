"""The local copy of the registry: who is up, as last heard, whatever became of the registry.

A registry that restarts may be empty until everybody has registered again. The first answer after
a silence or a broken connection, and one that goes back in revision, are therefore taken with a
grace time: for as long as a lease lasts, instances not listed are kept. The copy can be kept in a
file too, so that a process that starts while no registry answers knows whom to call.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import Clock, Instance, InstanceKey, ViewChange
from breakwater.sdk.discovery.changes import ChangeHooks
from breakwater.sdk.discovery.viewfile import ViewFile
from breakwater.sdk.poll import WAIT_S, LongPoll, PollStats
from breakwater.sdk.settings import Address

if TYPE_CHECKING:
    from random import Random

GRACE_S: Final = 15.0
SHORT_WAIT_S: Final = 5.0
PATH: Final = "/api/v1/registry/changes"

_Key = tuple[str, str]


class ViewStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many instances are known, whether some are kept on grace, and how the poll fares.

    from_file: how many of them were read from the file and not heard of since. file_failures: how
    often the file could not be read or written. hook_failures: how often a function that is told
    of changes raised.
    """

    instances: int
    is_on_grace: bool
    from_file: int
    file_failures: int = 0
    hook_failures: int = 0
    poll: PollStats


class RegistryView:
    """All instances of the registry that are UP, by service name (in lower case).

    addresses: registries as good as each other; none for a view that is fed by hand. file: where
    the copy is kept for the next start. Reading is a dictionary look-up on an immutable snapshot;
    only the poll thread writes.
    """

    def __init__(
        self,
        addresses: tuple[Address, ...],
        *,
        clock: Clock,
        random: "Random",
        file: ViewFile | None = None,
    ) -> None:
        self._clock = clock
        self._file = file
        self._by_service: dict[str, tuple[Instance, ...]] = {}
        self.hooks = ChangeHooks()
        self._listed: dict[_Key, Instance] = {}
        self._kept: dict[_Key, Instance] = {}
        self._grace_ends_s = 0.0
        self._revision: int | None = None
        self._breaks = 0
        self._from_file: frozenset[_Key] = frozenset()
        self._has_choice = len(addresses) > 1
        self._poll = (
            LongPoll(addresses, PATH, self.accept, random=random, wait_s=self._wait_s)
            if addresses
            else None
        )

    def start(self) -> None:
        """Start to follow the registry, from what the file has until it is heard."""
        if self._poll is not None:
            self._recall()
            self._poll.start()

    def stop(self) -> None:
        """Stop following; what is known stays known."""
        if self._poll is not None:
            self._poll.stop()
            if self._file is not None:
                self._file.finish()

    def wait_first(self, timeout_s: float) -> bool:
        """Wait until the registry answered once or failed to, at most `timeout_s`."""
        return self._poll is None or self._poll.wait_first(timeout_s)

    def instances(self, service: str) -> tuple[Instance, ...]:
        """The instances of `service` that are UP, in the registry's order."""
        return self._by_service.get(service.lower(), ())

    def accept(self, body: bytes) -> int | None:
        """Take in one answer (ViewChange JSON) and return its revision.

        None if it leads on from a revision that is not ours: everything is then to be told anew.
        Raises msgspec.DecodeError, a ValueError, for anything else; the copy then stays.
        """
        change = _DECODER.decode(body)
        if change.since is not None and change.since != self._revision:
            self._revision = None
            return None
        listed = {} if change.since is None else dict(self._listed)
        for gone in change.gone:
            listed.pop(_key(gone), None)
        listed.update((_key(one), one) for one in change.instances)
        self._keep_on_grace(change)
        self._revision, self._listed = change.revision, listed
        self._kept = {key: one for key, one in self._kept.items() if key not in listed}
        up = [one for one in listed.values() if one.status == "UP"]
        self._publish([*up, *self._kept.values()])
        self._remember()
        return change.revision

    def _keep_on_grace(self, change: ViewChange) -> None:
        now_s = self._clock.monotonic_s()
        if self._is_doubtful(change):
            known = {key: one for key, one in self._listed.items() if one.status == "UP"}
            self._kept = {**self._kept, **known}
            self._grace_ends_s = now_s + GRACE_S
        elif now_s >= self._grace_ends_s:
            self._kept = {}
        gone = {_key(one) for one in change.gone}  # said to have left, not just unheard of
        self._kept = {key: one for key, one in self._kept.items() if key not in gone}

    def _is_doubtful(self, change: ViewChange) -> bool:
        """Whether the registry may have lost what it knew since the answer before this one."""
        breaks = 0 if self._poll is None else self._poll.breaks
        was_broken, self._breaks = breaks > self._breaks, breaks
        went_back = self._revision is not None and change.revision < self._revision
        is_first = self._revision is None and bool(self._kept)
        return was_broken or went_back or is_first

    def _publish(self, instances: Iterable[Instance]) -> None:
        grouped: dict[str, list[Instance]] = {}
        for one in instances:
            grouped.setdefault(one.service.lower(), []).append(one)
        before = self._by_service
        self._by_service = {name: tuple(members) for name, members in grouped.items()}
        self.hooks.tell(before, self._by_service)

    def _wait_s(self) -> float:
        """Ask again soon while instances are kept on grace, so that they go in time.

        Where another registry could be asked, a silent one is noticed sooner.
        """
        if self._kept:
            return GRACE_S / 5
        return SHORT_WAIT_S if self._has_choice else WAIT_S

    def _recall(self) -> None:
        """Begin with what the file has, if nothing is known yet."""
        if self._file is None or self._by_service:
            return
        found = self._file.read()
        self._kept = {_key(one): one for one in found}
        self._from_file = frozenset(self._kept)
        self._publish(found)

    def _remember(self) -> None:
        if self._file is not None and self._listed:
            up = [one for one in self._listed.values() if one.status == "UP"]
            self._file.write(up)

    def stats(self) -> ViewStats:
        """How much is known, and how the poll fares."""
        poll = self._poll
        return ViewStats(
            instances=sum(len(members) for members in self._by_service.values()),
            is_on_grace=bool(self._kept),
            from_file=len(self._from_file & self._kept.keys()),
            file_failures=0 if self._file is None else self._file.failures,
            hook_failures=self.hooks.failures,
            poll=_NO_POLL if poll is None else poll.stats(),
        )


def _key(one: Instance | InstanceKey) -> _Key:
    return one.service.lower(), one.instance_id


_DECODER: Final = msgspec.json.Decoder(ViewChange)
_NO_POLL: Final = PollStats(
    is_running=False, revision=None, answers=0, failures=0, last_failure="no platform"
)
