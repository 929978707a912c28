"""WSGI middleware: one `ipc.server.call` for every request, however it ends.

    application = guarded_app(service, application)

Around the application it reads the caller's context from the headers, refuses work whose deadline
has passed (504) or for which there is no room (503), and injects inbound faults. A response lasts
until its iterable is exhausted or closed; one that is closed before is a client that left. WSGI
tells of that only when the server fails to write, so nothing is interrupted here.
"""

import atexit
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from breakwater.model import Status
from breakwater.sdk import context
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.door import Answer, Door, Request
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import SCOPE, RequestScope
from breakwater.sdk.propagation import INTERESTING
from breakwater.sdk.routes import Route

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

ROUTE: Final = "breakwater.route"
"""Where in the environ a framework's adapter leaves the template of the route it chose."""
_HEADERS: Final = [
    (name, f"HTTP_{name.decode().upper().replace('-', '_')}") for name in INTERESTING
]


class Options(TypedDict, total=False):
    """What can be said of a guarded application.

    endpoint: names the endpoint from the environ; by default the route's template where a
    framework's adapter tells it, else the shape of the path. shedding: how much work is taken on,
    and whose first. starts (True): the service is started by the first request, so that each
    worker that a server forks has threads of its own, and stopped when the process ends.
    """

    endpoint: Callable[[Environ], str]
    shedding: SheddingConfig
    starts: bool


def guarded_app(service: "Service", app: App, **options: Unpack[Options]) -> "Middleware":
    """`app` as a server that is recorded and guarded."""
    made = Middleware(service, app, options)
    service.watch(made)
    return made


class Middleware:
    """A WSGI application around `app`; see `guarded_app`."""

    def __init__(self, service: "Service", app: App, options: Options) -> None:
        endpoint = options.get("endpoint")

        def named(scope: Any) -> str:
            assert endpoint is not None, "asked only if there is one"
            return endpoint(scope["environ"])

        chosen = None if endpoint is None else named
        self._app = app
        self._service = service
        self._door = Door(service.runtime, endpoint=chosen, shedding=options.get("shedding"))
        self._is_started = not options.get("starts", True)
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if not self._is_started:
            self._start()
        scope = _Scope(environ)
        request = self._door.open(_headers(environ), scope, _header_of(environ))
        refusal = request.admit_sync()
        if refusal is not None:
            return _answer(start_response, refusal)
        within = copy_context()
        within.run(_enter, request)
        return _Response(self._app, request, within).begin(environ, start_response)

    def _start(self) -> None:
        with self._lock:
            if self._is_started:
                return
            self._service.start()
            atexit.register(self._service.stop)
            self._is_started = True

    def stats(self) -> ServerStats:
        """Counts since start."""
        return self._door.stats()


class _Scope(dict[str, Any]):
    """The environ in the words of ASGI; the route is looked for when it is asked for."""

    def __init__(self, environ: Environ) -> None:
        super().__init__(environ=environ, path=environ.get("PATH_INFO") or "/")
        self._environ = environ

    def get(self, key: str, default: Any = None) -> Any:
        """As a dictionary; `route` is what a framework's adapter left in the environ."""
        if key != "route":
            return super().get(key, default)
        template = self._environ.get(ROUTE)
        return None if template is None else Route(template)


class _Response:
    """The application's answer; iterated and closed by the server, in the request's context."""

    def __init__(self, app: App, request: Request, within: Context) -> None:
        self._app = app
        self._request = request
        self._within = within
        self._inner: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self._left: int | None = None
        self._is_over = False

    def begin(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application."""
        request = self._request

        def noting(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            request.code = int(status[:3])
            return start_response(status, headers, *error)

        try:
            instead = request.suffer_sync()
            if instead is not None:
                self._inner = _answer(noting, instead)
            else:
                self._inner = self._within.run(self._app, environ, noting)
            self._pieces = iter(self._inner)
        except BaseException as error:
            self._end(_status_of(error), type(error).__name__)
            raise
        if environ.get("REQUEST_METHOD") == "HEAD":
            self._left = 0
        if isinstance(self._inner, list | tuple):
            self._left = len(self._inner)
            return _SizedResponse(self, self._left)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = self._within.run(next, self._pieces)
        except StopIteration:
            self._request.completed()
            self._end(None)
            raise
        except BaseException as error:
            self._end(_status_of(error), type(error).__name__)
            raise
        if self._left is not None:
            self._left -= 1
        return piece

    def close(self) -> None:
        """The server is done, with all of it or because the client left."""
        close = getattr(self._inner, "close", None)
        try:
            if close is not None:
                self._within.run(close)
        finally:
            is_complete = self._left is not None and self._left <= 0
            self._end(None if is_complete else Status.CANCELLED)
            self._within.run(_leave)

    def _end(self, status: Status | None, detail: str = "") -> None:
        if self._is_over:
            return
        self._is_over = True
        if status is None and not self._request.is_complete:
            self._request.completed()
        self._request.end(status, detail)


class _SizedResponse:
    """A response whose number of pieces servers may ask for, to find its length."""

    def __init__(self, response: _Response, size: int) -> None:
        self._response = response
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._response

    def close(self) -> None:
        """As of the response."""
        self._response.close()


def _enter(request: Request) -> None:
    """Work in the context of the caller, and in a scope of its own."""
    context.bind(request.context)
    SCOPE.set(RequestScope())


def _leave() -> None:
    scope = SCOPE.get()
    if scope is not None:
        scope.close()


def _status_of(error: BaseException) -> Status:
    return Status.UNEXPECTED_ERROR if isinstance(error, Exception) else Status.CANCELLED


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    """The headers that carry context."""
    return [
        (name, environ[key].encode("latin-1", "replace"))
        for name, key in _HEADERS
        if key in environ
    ]


def _header_of(environ: Environ) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        key = name.upper().replace("-", "_")
        own = key in ("CONTENT_TYPE", "CONTENT_LENGTH")
        found = environ.get(key if own else f"HTTP_{key}")
        return found if isinstance(found, str) else None

    return header


def _answer(start_response: StartResponse, answer: Answer) -> list[bytes]:
    body = answer.body()
    headers = [*answer.headers().items(), ("content-length", str(len(body)))]
    try:
        phrase = HTTPStatus(answer.code).phrase
    except ValueError:
        phrase = "Refused"
    start_response(f"{answer.code} {phrase}", headers)
    return [body]
