"""Reading the stream of one instance, again and again, for as long as somebody wants it."""

from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from breakwater.guards.errors import EventTooLongError
from breakwater.guards.events import EventParser
from breakwater.guards.settings import GuardSettings
from breakwater.model import Clock, Instance

if TYPE_CHECKING:
    import aiohttp

PATH_KEY: Final = "hystrix.stream"
"""Metadata of the registry that names the path, and the port, of an instance's stream."""
PORT_KEY: Final = "management.port"
DEFAULT_PATH: Final = "/hystrix.stream"
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 15.0
NO_STREAM_PAUSE_S: Final = 30.0
_SHOWN: Final = 200


class ReadingState(StrEnum):
    """How it stands with an instance's stream."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    FAILING = "failing"
    NO_STREAM = "no_stream"


class InstanceReading(msgspec.Struct, frozen=True, kw_only=True):
    """How the reading of one instance fares; bad: events that were no message of a command."""

    instance: str
    service: str
    url: str
    state: ReadingState
    messages: int
    bad: int
    failures: int
    last_failure: str


def stream_url(instance: Instance) -> str:
    """Where an instance gives its stream, by what it told the registry."""
    path = instance.metadata.get(PATH_KEY, DEFAULT_PATH)
    port = instance.metadata.get(PORT_KEY, "")
    chosen = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else instance.port
    host = f"[{instance.host}]" if ":" in instance.host else instance.host
    return f"http://{host}:{chosen}/{path.lstrip('/')}"


class Reading:
    """One instance's stream; `take` is given each decoded message and says whether it is one.

    A stream that breaks off or says nothing for `stale_s` is opened again, after a pause that
    grows with each failure; where there is none (404), half a minute later.
    """

    def __init__(
        self,
        instance: Instance,
        take: Callable[[object], bool],
        settings: GuardSettings,
        clock: Clock,
    ) -> None:
        self.instance = instance
        self.url = stream_url(instance)
        self._take = take
        self._settings = settings
        self._clock = clock
        self._state = ReadingState.CONNECTING
        self._messages = self._bad = self._failures = 0
        self._last_failure = ""
        self.settled = anyio.Event()
        """Set when it has given a message, or failed to."""

    async def run(self, session: "aiohttp.ClientSession") -> None:
        """Read until cancelled."""
        from aiohttp import ClientError  # noqa: PLC0415 - loading it takes a tenth of a second

        pause_s = FIRST_PAUSE_S
        while True:
            began = self._messages
            try:
                await self._read(session)
                self._fail(ReadingState.FAILING, "the stream ended")
            except (ClientError, OSError, TimeoutError, ValueError, EventTooLongError) as error:
                self._fail(ReadingState.FAILING, f"{type(error).__name__}: {error}")
            except _NoStreamError as error:
                self._fail(ReadingState.NO_STREAM, str(error))
            if self._messages > began:
                pause_s = FIRST_PAUSE_S
            is_none = self._state is ReadingState.NO_STREAM
            await anyio.sleep(NO_STREAM_PAUSE_S if is_none else pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _read(self, session: "aiohttp.ClientSession") -> None:
        parser = EventParser(self._settings.max_event_bytes)
        headers = {
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "cache-control": "no-cache",
        }
        async with session.get(self.url, headers=headers, allow_redirects=False) as answer:
            if answer.status in {401, 403, 404, 405}:
                raise _NoStreamError(f"{self.url} answered HTTP {answer.status}")
            if answer.status != 200:
                raise ValueError(f"{self.url} answered HTTP {answer.status}")
            async for piece in answer.content.iter_any():
                for data in parser.feed(piece):
                    self._taken(data)

    def _taken(self, data: bytes) -> None:
        message: object = None
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = msgspec.json.decode(data)
        if not self._take(message):
            self._bad += 1
            return
        self._messages += 1
        self._state = ReadingState.STREAMING
        self.settled.set()

    def _fail(self, state: ReadingState, why: str) -> None:
        self._state = state
        self._failures += 1
        self._last_failure = why[:_SHOWN]
        self.settled.set()

    def status(self) -> InstanceReading:
        """How it fares."""
        return InstanceReading(
            instance=self.instance.instance_id,
            service=self.instance.service,
            url=self.url,
            state=self._state,
            messages=self._messages,
            bad=self._bad,
            failures=self._failures,
            last_failure=self._last_failure,
        )


class _NoStreamError(Exception):
    """The instance has no stream where it is looked for."""
