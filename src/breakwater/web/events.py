"""Server-sent events: an answer that goes on for as long as there is something to tell."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class EventStream(Response):
    """An answer of events, each encoded already as `data: ...` and an empty line.

    The next event is asked for once the one before was taken, so a slow reader holds one. When
    the reader leaves, `events` is closed wherever it is.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002 - what every ASGI application is given
        receive: Receive,
        send: Send,
    ) -> None:
        """Send events until they end or the reader leaves."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with anyio.create_task_group() as group:

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(leave)
            async with aclosing(self._events) as events:
                async for event in events:
                    body = {"type": "http.response.body", "body": event, "more_body": True}
                    await send(body)
            group.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
