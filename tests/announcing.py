"""A uvicorn that says when it listens, so that no test asks again and again."""

import socket
from collections.abc import Callable

import uvicorn


class AnnouncingServer(uvicorn.Server):
    """Calls `announce` on its own event loop as soon as it takes connections.

    announce: an event's `set`, of threading for a server in a thread of its own, of asyncio or
    anyio for one on the test's loop. A server that cannot start never announces.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], object]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._announce()
