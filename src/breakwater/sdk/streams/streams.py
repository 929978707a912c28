"""The four streams: who watches which, and what is sent at each tick.

Nothing here waits. A `Connection` says what to send now and when to ask again; the ASGI and WSGI
applications do the waiting. What is sent at a tick is encoded once, whoever asks first.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.streams.errors import StreamRefusedError
from breakwater.sdk.streams.messages import Message, dashboard_messages
from breakwater.sdk.streams.requestlog import RequestLog, RequestLogStats
from breakwater.sdk.streams.settings import config_message, utilization_message

DASHBOARD: Final = "/hystrix.stream"
CONFIG: Final = "/hystrix/config.stream"
UTILIZATION: Final = "/hystrix/utilization.stream"
REQUESTS: Final = "/hystrix/request.stream"
PATHS: Final = (DASHBOARD, CONFIG, UTILIZATION, REQUESTS)
HEADERS: Final = (
    ("Content-Type", "text/event-stream;charset=UTF-8"),
    ("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("Pragma", "no-cache"),
)
PING: Final = b"ping: \n\n"
MAX_CONNECTIONS: Final = 5
KEPT_REQUESTS: Final = 1_000
"""Requests that wait for one watcher; the oldest leave first, and are counted."""


class StreamsStats(msgspec.Struct, frozen=True, kw_only=True):
    """Who watches, by path; watchers refused, encodings made, requests the slow did not get."""

    watching: dict[str, int]
    refused: int
    encoded: int
    lost_requests: int
    request_log: RequestLogStats


class Feed:
    """The messages of one stream, encoded at most once in each tick of `interval_s`."""

    def __init__(
        self, make: Callable[[], list[Message]], interval_s: float, now_s: Callable[[], float]
    ) -> None:
        self._make = make
        self.interval_s = interval_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._encoded: tuple[int, bytes] = (-1, b"")
        self.encodings = 0

    def tick(self) -> int:
        """The number of the present tick."""
        return int(self._now_s() / self.interval_s)

    def payload(self) -> tuple[int, bytes]:
        """The present tick, and what is sent in it."""
        with self._lock:
            tick = self.tick()
            if self._encoded[0] != tick:
                encode = msgspec.json.encode
                parts = [b"data: %b\n\n" % encode(message) for message in self._make()]
                self._encoded = (tick, b"".join(parts))
                self.encodings += 1
            return self._encoded


class Connection:
    """One watcher of one stream. `read` may be called from any thread, by one at a time."""

    def __init__(self, streams: "Streams", path: str, feed: Feed | None) -> None:
        self.path = path
        self.streams = streams
        self._feed = feed
        self._seen = -1
        self.requests: deque[bytes] = deque()
        self.lost = 0
        self.wake: Callable[[], None] | None = None
        """Called, from whatever thread, when the stream ends."""

    def read(self) -> bytes:
        """What is to be sent now: the news of this tick and a ping."""
        parts: list[bytes] = []
        if self._feed is None:
            while self.requests:
                parts.append(b"data: %b\n\n" % self.requests.popleft())
        elif self._feed.tick() != self._seen:
            self._seen, payload = self._feed.payload()
            parts.append(payload)
        return b"".join((*parts, PING))

    def wait_s(self) -> float:
        """How long until it is time to read again."""
        interval_s = self.streams.interval_s
        return interval_s - self.streams.now_s() % interval_s

    def offer(self, entry: bytes) -> None:
        """A request ended."""
        if len(self.requests) >= KEPT_REQUESTS:
            self.requests.popleft()
            self.lost += 1
        self.requests.append(entry)

    def close(self) -> None:
        """The watcher left."""
        self.streams.leave(self)


class Streams:
    """The streams of one registry of commands; thread-safe.

    interval_s: of pings, commands and utilization, which Hystrix has at 0.5. config_interval_s:
    of configurations. max_connections: watchers of each stream. keeps_request_log: log the calls
    of each request also while nobody watches, for `executed_calls`.
    """

    def __init__(
        self,
        guards: Guards,
        *,
        interval_s: float = 0.5,
        config_interval_s: float = 5.0,
        max_connections: int = MAX_CONNECTIONS,
        keeps_request_log: bool = False,
    ) -> None:
        self.interval_s = interval_s
        self.now_s = guards.shared.now_s
        self.closed = threading.Event()
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._watching: dict[str, list[Connection]] = {path: [] for path in PATHS}
        self._refused = self._lost = 0
        self._log = log = RequestLog(guards, self._publish)
        if keeps_request_log:
            log.switch(True)
        self._feeds = {
            DASHBOARD: Feed(
                lambda: dashboard_messages(guards, logs_requests=log.is_on), interval_s, self.now_s
            ),
            CONFIG: Feed(
                lambda: [config_message(guards, logs_requests=log.is_on)],
                config_interval_s,
                self.now_s,
            ),
            UTILIZATION: Feed(lambda: [utilization_message(guards)], interval_s, self.now_s),
        }

    def open(self, path: str) -> Connection:
        """A new watcher of `path`, one of PATHS; raises StreamRefusedError."""
        connection = Connection(self, path, self._feeds.get(path))
        with self._lock:
            watching = self._watching[path]
            if self.closed.is_set():
                self._refused += 1
                raise StreamRefusedError("Service has been shut down.")
            if len(watching) >= self._max_connections:
                self._refused += 1
                raise StreamRefusedError(
                    f"MaxConcurrentConnections reached: {self._max_connections}"
                )
            watching.append(connection)
        if path == REQUESTS:
            self._log.switch(True)
        return connection

    def leave(self, connection: Connection) -> None:
        """A watcher left; leaving twice is leaving once."""
        with self._lock:
            watching = self._watching[connection.path]
            if connection not in watching:
                return
            watching.remove(connection)
            self._lost += connection.lost
        if connection.path == REQUESTS:
            self._log.switch(False)

    def close(self) -> None:
        """End every stream, and give no more; for the end of the process."""
        self.closed.set()
        with self._lock:
            connections = [each for watching in self._watching.values() for each in watching]
        for connection in connections:
            if connection.wake is not None:
                connection.wake()

    def reopen(self) -> None:
        """Give streams again, after `close`; for a service that is started anew."""
        self.closed.clear()

    def _publish(self, entry: bytes) -> None:
        for connection in tuple(self._watching[REQUESTS]):
            connection.offer(entry)

    def stats(self) -> StreamsStats:
        """Who watches, and what it cost."""
        with self._lock:
            watching = Counter({path: len(found) for path, found in self._watching.items()})
            lost = self._lost + sum(each.lost for each in self._watching[REQUESTS])
        return StreamsStats(
            watching=dict(watching),
            refused=self._refused,
            encoded=sum(feed.encodings for feed in self._feeds.values()),
            lost_requests=lost,
            request_log=self._log.stats(),
        )


def path_in(path: str) -> str | None:
    """The stream that `path` ends in, wherever the application is mounted."""
    return next((known for known in PATHS if path.endswith(known)), None)
