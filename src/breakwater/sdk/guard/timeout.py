"""A time limit for one attempt of an async call, at about a third of `asyncio.timeout`'s cost."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import asyncio


class attempt_timeout:  # noqa: N801 - used like asyncio.timeout, as a plain `with`
    """`with attempt_timeout(task, loop, seconds) as limit:` cancels the block when time is up.

    The block then ends in TimeoutError; `limit.is_over` says so. A cancellation from outside goes
    through as a cancellation even if both come together, and is never swallowed.
    """

    __slots__ = ("_cancelling", "_handle", "_loop", "_seconds", "_task", "is_over")

    def __init__(
        self, task: "asyncio.Task[object]", loop: "asyncio.AbstractEventLoop", seconds: float
    ) -> None:
        self._task = task
        self._loop = loop
        self._seconds = seconds
        self.is_over = False

    def __enter__(self) -> Self:
        """Start the clock."""
        self._cancelling = self._task.cancelling()
        self._handle = self._loop.call_later(self._seconds, self._expire)
        return self

    def _expire(self) -> None:
        self.is_over = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the clock; turn its cancellation into TimeoutError."""
        self._handle.cancel()
        if not self.is_over:
            return
        from asyncio import CancelledError  # noqa: PLC0415 - a service without asyncio never pays for it

        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, CancelledError):
            raise TimeoutError from error
