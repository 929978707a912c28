"""Running a drill to its end or to Ctrl-C, with everything it started taken down either way."""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def run_interruptible(main: Callable[[], Awaitable[T]]) -> T | None:
    """Run `main`; SIGINT and SIGTERM cancel it in good order. Returns None when cancelled."""

    async def guarded() -> T | None:
        result: T | None = None
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                    async for _ in signals:
                        group.cancel_scope.cancel()
                        return

            group.start_soon(watch)
            result = await main()
            group.cancel_scope.cancel()
        return result

    return anyio.run(guarded, backend_options={"use_uvloop": True})
