"""An answer goes out in as few packets as it can, and no later than it would alone."""

import asyncio

import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.server.connections import JoinedAnswer

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
LONG = b"x" * 100_000


class Wire(asyncio.Transport):
    """What was sent, one entry a packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        assert not self.is_closed
        self.packets.append(bytes(data))

    def close(self) -> None:
        """Take no more."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Whether it takes no more."""
        return self.is_closed


def answer_on(wire: Wire) -> JoinedAnswer:
    """An answer that is written to this wire."""
    return JoinedAnswer(wire, asyncio.get_running_loop())


async def test_head_and_body_of_a_small_answer_travel_together() -> None:
    """Two writes in one turn are one packet, and nothing is sent twice."""
    wire = Wire()
    answer = answer_on(wire)
    answer.write(HEAD)
    answer.write(b"body")
    assert wire.packets == [HEAD + b"body"]
    await anyio.lowlevel.checkpoint()
    assert wire.packets == [HEAD + b"body"]


async def test_a_head_alone_goes_out_at_the_end_of_its_turn() -> None:
    """A reader of a stream learns at once that it was opened; events then go out as they come."""
    wire = Wire()
    answer = answer_on(wire)
    answer.write(HEAD)
    await anyio.lowlevel.checkpoint()
    assert wire.packets == [HEAD]
    answer.write(b"event")
    assert wire.packets == [HEAD, b"event"]


async def test_a_long_body_is_not_copied() -> None:
    """It follows its head in packets of its own."""
    wire = Wire()
    answer = answer_on(wire)
    answer.write(HEAD)
    answer.write(LONG)
    assert wire.packets == [HEAD, LONG]


async def test_what_waits_is_sent_before_the_end() -> None:
    """Closing loses nothing, be it the head of an answer without a body."""
    wire = Wire()
    answer = answer_on(wire)
    answer.write(HEAD)
    assert not answer.is_closing()
    answer.close()
    assert (wire.packets, answer.is_closing()) == ([HEAD], True)
    await anyio.lowlevel.checkpoint()
    assert wire.packets == [HEAD]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=8), st.just(LONG)), max_size=8))
def test_nothing_changes_its_place(writes: list[bytes | None]) -> None:
    """However writes and turns follow each other, the same bytes come in the same order."""

    async def written() -> bytes:
        wire = Wire()
        answer = answer_on(wire)
        for data in writes:
            if data is None:
                await asyncio.sleep(0)
            else:
                answer.write(data)
        answer.close()
        return b"".join(wire.packets)

    assert asyncio.run(written()) == b"".join(data for data in writes if data is not None)
