"""What the guarded commands of a process do, as the streams that Hystrix dashboards understand.

`Streams(guards)` answers `/hystrix.stream`, `/hystrix/config.stream`,
`/hystrix/utilization.stream` and `/hystrix/request.stream`. Mount `asgi_app(streams)` or
`wsgi_app(streams)` where you like, or let `Service.asgi(..., streams=True)` do it. Field names,
their order, headers and pings are those of Hystrix 1.5, so its dashboard and Turbine read them
without knowing the difference; what each number means here is in docs/formats/hystrix-stream.md.

Nothing is computed while nobody watches, and once a tick however many do. At most five watch one
stream; the next is told 503. A log of the calls of each request is kept only while its stream is
watched, or when asked for (`keeps_request_log`); `executed_calls` shows it.
"""

from breakwater.sdk.streams.asgi import asgi_app
from breakwater.sdk.streams.errors import StreamRefusedError
from breakwater.sdk.streams.requestlog import RequestLogStats, executed_calls
from breakwater.sdk.streams.streams import Connection, Streams, StreamsStats
from breakwater.sdk.streams.wsgi import wsgi_app

__all__ = [
    "Connection",
    "RequestLogStats",
    "StreamRefusedError",
    "Streams",
    "StreamsStats",
    "asgi_app",
    "executed_calls",
    "wsgi_app",
]
