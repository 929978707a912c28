"""The scope of one request: what is remembered for its duration and no longer.

Whatever serves requests opens a scope for each (the ASGI and WSGI adapters do); a job or a test
opens its own. Tasks and threads started with a copied context share it. Without one, what is kept
per request is not kept at all.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final


class RequestScope:
    """Memory of one request; goes with the request, whoever still holds its context aside."""

    __slots__ = ("_endings", "is_open", "slots")

    def __init__(self) -> None:
        self.slots: dict[Hashable, Any] = {}
        self.is_open = True
        self._endings: tuple[Callable[[], None], ...] = ()

    def at_end(self, call: Callable[[], None]) -> None:
        """Let `call` be called when the request ends; it must not raise."""
        self._endings = (*self._endings, call)

    def close(self) -> None:
        """Forget all; what comes after the request's end finds no scope."""
        self.is_open = False
        self.slots.clear()
        endings, self._endings = self._endings, ()
        for call in endings:
            call()


SCOPE: Final[ContextVar[RequestScope | None]] = ContextVar("breakwater_request", default=None)


def current_scope() -> RequestScope | None:
    """The scope of the request now being served, None outside any."""
    scope = SCOPE.get()
    return scope if scope is not None and scope.is_open else None


@contextmanager
def request_scope() -> Iterator[RequestScope]:
    """Serve one request within the block: equal cached calls are made once."""
    scope = RequestScope()
    token = SCOPE.set(scope)
    try:
        yield scope
    finally:
        scope.close()
        SCOPE.reset(token)
