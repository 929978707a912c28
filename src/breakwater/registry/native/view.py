"""The view our own SDK waits on: every instance that is not proven gone, under a revision."""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import Final

import anyio
import msgspec

from breakwater.model import Clock, Health, InstanceKey, InstanceView, ViewChange
from breakwater.registry.errors import TooManyWaitersError
from breakwater.registry.holding.happenings import Deed, Happening
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import native
from breakwater.registry.judging.judge import Judge
from breakwater.registry.native.board import Board

_ENCODER: Final = msgspec.json.Encoder()
_MAX_ENCODED: Final = 64
_STEPS_PER_MS_BITS: Final = 10
"""A revision begins at the wall clock, with room for a thousand changes a millisecond: what one
process told is then no revision of another, be it the same server restarted or a peer."""

ALIVE_S: Final = 10.0
"""A stream without news says so this often, so that both ends notice when the other is gone."""

_ENDS: Final = frozenset((Deed.CANCELLED, Deed.EVICTED))


class _WholeBody(msgspec.Struct, frozen=True, kw_only=True):
    """An InstanceView whose instances are JSON already."""

    revision: int
    instances: list[msgspec.Raw]


class _ChangeBody(msgspec.Struct, frozen=True, kw_only=True):
    """A ViewChange whose instances are JSON already."""

    revision: int
    since: int | None
    instances: list[msgspec.Raw]
    gone: list[InstanceKey]


class _News:
    """The next change (of one service), and how many wait for it."""

    __slots__ = ("event", "waiters")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.waiters = 0


class NativeView:
    """The instances as callers are to see them, and a place to wait for the next change.

    The revision moves with whatever callers can see: registrations, statuses, metadata, and how
    sure it is that an instance is there. Whoever waits for one service is woken by its changes
    only. However many ask, an answer is encoded once for each revision they come from.
    """

    def __init__(self, registry: Registry, judge: Judge, clock: Clock) -> None:
        self._registry = registry
        self._judge = judge
        begun = clock.now_ms() << _STEPS_PER_MS_BITS
        self._board = Board(revision=begun, capacity=registry.settings.max_instances)
        self._news: dict[str | None, _News] = {}
        self._is_closed = False
        self._waiters = 0
        self._view: InstanceView | None = None
        self._encoded: OrderedDict[tuple[str, int | None, str | None], bytes] = OrderedDict()
        self._encoded_at = 0
        self.encodings = 0
        for lease in registry.leases():
            self._show(lease, judge.health_of(lease))
        registry.listen(self._heard)
        judge.listen(self._show)

    @property
    def revision(self) -> int:
        """The number of what is shown now; a larger one is later."""
        return self._board.revision

    @property
    def waiters(self) -> int:
        """How many callers wait for a change now."""
        return self._waiters

    @property
    def is_closed(self) -> bool:
        """Whether nobody may wait any more."""
        return self._is_closed

    def __len__(self) -> int:
        """How many instances are shown."""
        return len(self._board)

    def view(self, service: str | None = None) -> InstanceView:
        """All instances, or those of one `service`, at the present revision."""
        if service is not None:
            found = [shown.instance for shown in self._board.shown(service)]
            return InstanceView(revision=self.revision, instances=found)
        if self._view is None or self._view.revision != self.revision:
            found = [shown.instance for shown in self._board.shown()]
            self._view = InstanceView(revision=self.revision, instances=found)
        return self._view

    def change(self, revision: int | None, service: str | None = None) -> ViewChange:
        """What leads from `revision` to the present; everything, where that is not remembered."""
        found = self._board.difference(revision, service)
        return ViewChange(
            revision=found.revision,
            since=found.since,
            instances=[shown.instance for shown in found.shown],
            gone=found.gone,
        )

    def encoded_view(self, service: str | None = None) -> bytes:
        """`view` as JSON."""
        key = ("view", None, _folded(service))
        held = self._kept(key)
        if held is not None:
            return held
        raw = [shown.raw for shown in self._board.shown(service)]
        body = _WholeBody(revision=self.revision, instances=raw)
        return self._keep(key, self._encode(body))

    def encoded_change(self, revision: int | None, service: str | None = None) -> bytes:
        """`change` as JSON."""
        key = ("change", revision, _folded(service))
        held = self._kept(key)
        if held is not None:
            return held
        found = self._board.difference(revision, service)
        body = _ChangeBody(
            revision=found.revision,
            since=found.since,
            instances=[shown.raw for shown in found.shown],
            gone=found.gone,
        )
        return self._keep(key, self._encode(body))

    async def wait_news(
        self, revision: int | None, wait_s: float, service: str | None = None
    ) -> bool:
        """Wait until what is shown (of one service) differs from `revision`; False if it did not.

        Waits `wait_s` at most. Raises TooManyWaitersError when no further caller may wait.
        """
        if self._board.has_news(revision, service):
            return True
        if wait_s <= 0 or self._is_closed:
            return False
        settings = self._registry.settings
        self.check_place()
        self._waiters += 1
        try:
            await self._wait(_folded(service), min(wait_s, settings.max_wait_s))
        finally:
            self._waiters -= 1
        return self._board.has_news(revision, service)

    async def wait_quietly(self, revision: int | None) -> bool:
        """As `wait_news` of everything, for parts of this process: they take no caller's place."""
        if not self._board.has_news(revision) and not self._is_closed:
            await self._wait(None, self._registry.settings.max_wait_s)
        return self._board.has_news(revision)

    def check_place(self) -> None:
        """Raise TooManyWaitersError if no further caller may wait or follow."""
        if self._waiters >= self._registry.settings.max_waiters:
            raise TooManyWaitersError(
                f"{self._waiters} callers wait for the registry already; ask again without wait_s"
            )

    async def follow(
        self, revision: int | None, service: str | None = None, *, alive_s: float = ALIVE_S
    ) -> AsyncGenerator[bytes, None]:
        """What leads from `revision` to now and then every change, as server-sent events.

        Whoever takes them slowly gets several changes in one event. Without any for `alive_s` a
        comment is sent. Ends when the view is closed.
        """
        self._waiters += 1
        try:
            while not self._is_closed:
                if self._board.has_news(revision, service):
                    event, revision = self._event(revision, service), self.revision
                    yield event
                    continue
                await self._wait(_folded(service), alive_s)
                if not self._board.has_news(revision, service) and not self._is_closed:
                    yield b": alive\n\n"
        finally:
            self._waiters -= 1

    def _event(self, revision: int | None, service: str | None) -> bytes:
        key = ("event", revision, _folded(service))
        held = self._kept(key)
        if held is not None:
            return held
        body = self.encoded_change(revision, service)
        kind = "whole" if self._board.is_forgotten(revision, service) else "change"
        head = f"id: {self.revision}\nevent: {kind}\ndata: ".encode()
        return self._keep(key, head + body + b"\n\n")

    async def _wait(self, name: str | None, wait_s: float) -> None:
        news = self._news.setdefault(name, _News())
        news.waiters += 1
        try:
            with anyio.move_on_after(wait_s):
                await news.event.wait()
        finally:
            news.waiters -= 1
            if not news.waiters and self._news.get(name) is news:
                del self._news[name]

    async def wait_view(
        self, revision: int | None, wait_s: float, service: str | None = None
    ) -> InstanceView:
        """The view as soon as it differs from that of `revision`, at the latest after `wait_s`."""
        await self.wait_news(revision, wait_s, service)
        return self.view(service)

    def close(self) -> None:
        """Answer every waiting caller now and let none wait any more, before the server stops."""
        self._is_closed = True
        for news in self._news.values():
            news.event.set()
        self._news.clear()

    def _heard(self, happening: Happening) -> None:
        if happening.deed is Deed.RENEWED:
            return
        info = happening.info
        if happening.deed in _ENDS:
            self._hide(info.service, info.instance_id)
            return
        lease = self._registry.lease(info.app, info.instance_id)
        self._show(lease, self._judge.health_of(lease))

    def _show(self, lease: Lease, health: Health) -> None:
        info = lease.info
        if health is Health.LOST:
            self._hide(info.service, info.instance_id)
        elif self._board.put(native(info, health)):
            self._wake(info.service)

    def _hide(self, service: str, instance_id: str) -> None:
        if self._board.remove(service, instance_id):
            self._wake(service)

    def _wake(self, service: str) -> None:
        for name in (None, _folded(service)):
            news = self._news.pop(name, None)
            if news is not None:
                news.event.set()

    def _encode(self, body: "_WholeBody | _ChangeBody") -> bytes:
        self.encodings += 1
        return _ENCODER.encode(body)

    def _kept(self, key: tuple[str, int | None, str | None]) -> bytes | None:
        """What was encoded under `key` at this revision."""
        if self._encoded_at != self.revision:
            self._encoded.clear()
            self._encoded_at = self.revision
        return self._encoded.get(key)

    def _keep(self, key: tuple[str, int | None, str | None], body: bytes) -> bytes:
        self._encoded[key] = body
        if len(self._encoded) > _MAX_ENCODED:
            self._encoded.popitem(last=False)
        return body


def _folded(service: str | None) -> str | None:
    return None if service is None else service.upper()
