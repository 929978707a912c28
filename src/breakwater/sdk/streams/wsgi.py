"""The streams as a WSGI application, for servers with a thread for each request.

A watcher holds its thread for as long as it watches; there are at most five for each stream.
"""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from breakwater.sdk.streams.errors import StreamRefusedError
from breakwater.sdk.streams.streams import HEADERS, Connection, Streams, path_in

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


def wsgi_app(streams: Streams, app: App | None = None) -> App:
    """An application that answers the four paths, under whatever it is mounted.

    app: answers all else, as one from `breakwater.sdk.wsgi.guarded_app`; None: that is 404.
    """

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = path_in(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        if path is None and app is not None:
            return app(environ, start_response)
        if path is None:
            return _refuse(start_response, HTTPStatus.NOT_FOUND, "no such stream")
        if environ["REQUEST_METHOD"] != "GET":
            return _refuse(start_response, HTTPStatus.METHOD_NOT_ALLOWED, "streams are for GET")
        try:
            connection = streams.open(path)
        except StreamRefusedError as refusal:
            return _refuse(start_response, HTTPStatus.SERVICE_UNAVAILABLE, str(refusal))
        start_response("200 OK", list(HEADERS))
        return _Body(connection)

    return answer


class _Body:
    """What a server iterates over, and closes when the watcher has left."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        connection = self._connection
        closed = connection.streams.closed
        try:
            while not closed.is_set():
                yield connection.read()
                closed.wait(connection.wait_s())
        finally:
            connection.close()

    def close(self) -> None:
        """The server is done with it, whether it was read or not."""
        self._connection.close()


def _refuse(start_response: StartResponse, status: HTTPStatus, text: str) -> list[bytes]:
    body = text.encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
