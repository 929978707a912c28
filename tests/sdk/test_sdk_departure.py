"""Noticing that a client left, whatever the server gives to whoever asks for messages."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from breakwater.sdk.departure import MAX_KEPT_BYTES, MESSAGE_BYTES, Departure


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_empty_messages_do_not_come_for_ever() -> None:
    """A server that always has one more empty message is asked a bounded number of times."""
    asked = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"", "more_body": True, "number": asked}

    departure = Departure(receive, lambda: False)
    with departure:
        departure._watch()
        watcher = departure._watcher
        assert watcher is not None
        await watcher
        kept = asked
        assert kept <= MAX_KEPT_BYTES // MESSAGE_BYTES + 1
        numbers = [(await departure.receive())["number"] for _ in range(kept + 2)]
    assert numbers == list(range(1, kept + 3))
    assert not departure.has_left


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_watch_goes_on_when_what_was_kept_is_read() -> None:
    """After the application took its messages, a departure is noticed again."""
    left = asyncio.Event()
    body = [b"x" * MAX_KEPT_BYTES, b"y"]

    async def receive() -> MutableMapping[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop(0), "more_body": bool(body)}
        await left.wait()
        return {"type": "http.disconnect"}

    departure = Departure(receive, lambda: False)

    async def serve() -> None:
        with departure:
            departure._watch()
            assert departure._watcher is not None
            await departure._watcher
            for _ in range(2):
                await departure.receive()
            left.set()
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await serve()
    assert departure.has_left
    assert departure.was_ours()
