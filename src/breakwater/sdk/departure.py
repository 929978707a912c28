"""Noticing that the client of an ASGI request has gone away, and cancelling the work it wanted.

ASGI tells of a departure only to whoever awaits `receive`, which a handler at work does not. So,
for requests that take longer than a moment, a watcher awaits it on the handler's behalf, keeping
body messages it meets for the application, up to a limit.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Final, Self

WATCH_AFTER_S: Final = 0.05
"""Shorter requests are not watched: nothing is won by cancelling what is over before."""
MAX_KEPT_BYTES: Final = 65_536
MESSAGE_BYTES: Final = 512
"""What a message counts beside its body, so that empty ones cannot come for ever."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Departure:
    """Used as `with departure:` around the application, in the request's own task.

    is_over: tells whether the response was sent in full; a disconnect after that is no departure.
    """

    def __init__(self, receive: Receive, is_over: Callable[[], bool]) -> None:
        self._receive = receive
        self._is_over = is_over
        self._kept: deque[MutableMapping[str, Any]] = deque()
        self._kept_bytes = 0
        self._arrived = asyncio.Event()
        self._app_is_receiving = False
        self._is_due = False
        self._watcher: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self.has_left = False

    def __enter__(self) -> Self:
        """Begin to count the moment after which the request is watched."""
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_S, self._watch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the watch."""
        self._timer.cancel()
        self._is_due = False
        watcher = self._watcher
        if watcher is None:
            return
        if not watcher.done():
            watcher.cancel()
        elif not watcher.cancelled():
            watcher.exception()  # the application met the same one if it asked

    def was_ours(self) -> bool:
        """Whether the cancellation that just arrived is this one's alone; takes it back."""
        return self._cancelled and self._task is not None and self._task.uncancel() == 0

    def _watch(self) -> None:
        """Begin to watch; if the application is receiving just now, wait until it is done."""
        self._is_due = True
        if not self._app_is_receiving and not self._is_watching() and not self.has_left:
            self._watcher = asyncio.get_running_loop().create_task(self._look())

    def _is_watching(self) -> bool:
        return self._watcher is not None and not self._watcher.done()

    async def _look(self) -> None:
        """Take in messages until the client leaves, or more than may be kept has come."""
        try:
            while self._kept_bytes <= MAX_KEPT_BYTES:
                message = await self._receive()
                self._kept.append(message)
                self._kept_bytes += _size_of(message)
                self._arrived.set()
                if message["type"] == "http.disconnect":
                    self._leave()
                    return
        finally:
            self._arrived.set()

    def _leave(self) -> None:
        """The client left: cancel the application, unless it is just being told so itself."""
        if self._is_over() or self.has_left:
            return
        self.has_left = True
        if self._task is not None and not self._app_is_receiving:
            self._cancelled = True
            self._task.cancel()

    async def receive(self) -> MutableMapping[str, Any]:
        """The application's `receive`: what the watcher kept first, then the server's own."""
        self._app_is_receiving = True
        try:
            while not self._kept and self._is_watching():
                self._arrived.clear()
                await self._arrived.wait()
            if self._kept:
                message = self._kept.popleft()
                self._kept_bytes -= _size_of(message)
            else:
                message = await self._receive()
        finally:
            self._app_is_receiving = False
        if message["type"] == "http.disconnect":
            self.has_left = self.has_left or not self._is_over()
        elif self._is_due:
            self._watch()
        return message


def _size_of(message: MutableMapping[str, Any]) -> int:
    """What is kept of the limit by it, bytes."""
    return MESSAGE_BYTES + len(message.get("body", b""))
