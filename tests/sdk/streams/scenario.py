"""The calls that were recorded of Hystrix (`recordings/README.md`), made with commands of ours."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import msgspec

from breakwater.sdk import CallRefusedError, Command, CommandConfig, Guards
from breakwater.sdk.guard.config import CollapseConfig, StatisticsConfig
from breakwater.sdk.guard.sharing.scope import request_scope
from breakwater.sdk.guard.tuning.profiles import hystrix
from breakwater.testing import FakeClock

PATIENCE_S = 30.0


class DownError(Exception):
    """What the dependency fails with."""


class BadRequestError(Exception):
    """What the caller did wrong."""


class Scenario:
    """Commands of Hystrix's defaults in a registry, and the two requests made with them."""

    def __init__(self, guards: Guards, clock: FakeClock) -> None:
        self._guards = guards
        self._clock = clock
        self._made: dict[str, Command] = {}

    def command(
        self,
        name: str,
        *,
        group: str = "Accounts",
        pool: str = "",
        code: Any = None,
        **changes: Any,
    ) -> Command:
        """The command of this name; changes: of Hystrix's defaults, by part and key."""
        if name not in self._made:
            config = with_changes(hystrix(), {"statistics": _STATISTICS, **changes})
            self._made[name] = Command(
                name, config, guards=self._guards, group=group, pool=pool, **(code or {})
            )
        return self._made[name]

    def play(self) -> None:
        """Both requests."""
        with request_scope():
            self._answers_and_failures()
            self._refusals()
            self._batch()
            self._items()
        with request_scope():
            self._profile(good=2, bad=1)
            for _ in range(3):
                self._cached("two")
        self._clock.advance(2.0)

    def answer(self) -> str:
        """Takes 10 ms."""
        self._clock.advance(0.01)
        return "ok"

    def call(self, command: Command, fn: Callable[[], Any]) -> None:
        """One call, whatever becomes of it."""
        with suppress(DownError, BadRequestError, CallRefusedError):
            command.call_sync(fn)

    def _answers_and_failures(self) -> None:
        account = self.command("Account", bulkhead=_THREADS, code={"ignore": BadRequestError})
        for fn in (*[self.answer] * 5, bad_request):
            self.call(account, fn)
        self._profile(good=3, bad=4)
        self.command("FallbackFails", code={"fallback": fail})
        self.command("FallbackOff", code=_GUEST, fallback={"enabled": False})
        for name in ("FallbackFails", "NoFallback", "FallbackOff"):
            for _ in range(2):
                self.call(self.command(name), fail)
        self._slow()
        for _ in range(3):
            shut = self.command("Shut", breaker={"mode": "forced_open"}, code=_GUEST)
            self.call(shut, self.answer)
        breaker = {"minimum_calls": 4, "open_s": 60.0, "judge_every_s": 0.1, "buckets": 100}
        tripped = self.command("Tripped", breaker=breaker, code=_GUEST)
        for _ in range(4):
            self.call(tripped, fail)
        self._clock.advance(0.6)
        for _ in range(2):
            self.call(tripped, self.answer)

    def _profile(self, *, good: int, bad: int) -> None:
        profile = self.command("Profile", code=_GUEST)
        for fn in (*[self.answer] * good, *[fail] * bad):
            self.call(profile, fn)

    def _slow(self) -> None:
        """Two calls that wait far longer than they may."""
        slow = self.command("Slow", bulkhead=_THREADS, timeout_s=0.05, code=_GUEST)
        over = threading.Event()
        try:
            for _ in range(2):
                self.call(slow, lambda: over.wait(PATIENCE_S))
        finally:
            over.set()

    def _refusals(self) -> None:
        self._crowd(self.command("Narrow", bulkhead={"max_concurrent": 1}, code=_GUEST))
        threads = {**_THREADS, "threads": 1}
        self._crowd(self.command("Crowded", pool="small-pool", bulkhead=threads, code=_GUEST))
        for _ in range(4):
            self._cached("one")
        busy = threading.Event(), threading.Event()

        def guest(_error: Exception) -> str:
            if not busy[0].is_set():
                busy[0].set()
                assert busy[1].wait(PATIENCE_S)
            return "guest"

        limit = {"max_concurrent": 1}
        command = self.command("FallbackBusy", code={"fallback": guest}, fallback=limit)
        self._beside(lambda: self.call(command, fail), busy, lambda: self.call(command, fail))

    def _crowd(self, command: Command) -> None:
        """Two calls while the only place is taken."""
        inside = threading.Event(), threading.Event()

        def wait() -> str:
            inside[0].set()
            assert inside[1].wait(PATIENCE_S)
            return "ok"

        self._beside(
            lambda: self.call(command, wait), inside, lambda: self.call(command, self.answer)
        )

    def _beside(
        self,
        first: Callable[[], None],
        inside: tuple[threading.Event, threading.Event],
        other: Callable[[], None],
    ) -> None:
        thread = threading.Thread(target=copy_context().run, args=(first,))
        thread.start()
        try:
            assert inside[0].wait(PATIENCE_S)
            other()
            other()
        finally:
            inside[1].set()
            thread.join(PATIENCE_S)

    def _cached(self, key: str) -> None:
        cached = self.command("Cached", request_cache=True)
        cached.call_sync(self._keyed, key)

    def _keyed(self, _key: str) -> str:
        return self.answer()

    def _batch(self) -> None:
        titles = self.command("Titles", group="Catalogue", collapse=_COLLAPSE, bulkhead=_THREADS)

        async def batch(ids: list[int]) -> list[str]:
            self._clock.advance(0.01)
            return [f"title {each}" for each in ids]

        async def ask() -> None:
            title = titles.collapse(batch)
            await asyncio.gather(*(title(each) for each in (*range(6), 0)))

        asyncio.run(ask())

    def _items(self) -> None:
        feed = self.command("Feed", group="Catalogue")

        @feed
        def items() -> Iterator[str]:
            yield from "abc"

        assert list(items()) == ["a", "b", "c"]


def with_changes(config: CommandConfig, changes: dict[str, Any]) -> CommandConfig:
    """`config` with keys of its parts replaced, or parts put in."""
    made = {
        name: msgspec.structs.replace(getattr(config, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    return msgspec.structs.replace(config, **made)


def fail(_error: Exception | None = None) -> str:
    """Fails."""
    raise DownError


def bad_request() -> str:
    """The caller's own fault."""
    raise BadRequestError


_GUEST = {"fallback": lambda _error: "guest"}
_THREADS = {"isolation": "thread"}
_COLLAPSE = CollapseConfig(max_batch=50, wait_s=0.1, scope="request")
_STATISTICS = StatisticsConfig(latency_window_s=10.0, latency_buckets=10)
