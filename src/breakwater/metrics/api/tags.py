"""GET /api/v1/tags and /api/v1/tags/{key}: which keys and values are in use, a page at a time."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import QueryValueError
from breakwater.web import json_answer

NEXT_OFFSET: Final = "x-nflx-atlas-next-offset"
MOST_TAGS: Final = 1000


class TagCount(msgspec.Struct, frozen=True):
    """One tag and how many series carry it."""

    key: str
    value: str
    count: int


class _Page(msgspec.Struct, frozen=True):
    items: list[str]
    next_offset: str | None


class TagEndpoints:
    """Lists the keys in use and the values of one key."""

    def __init__(self, engine: MetricsEngine, queue: QueryQueue) -> None:
        self._engine = engine
        self._queue = queue

    async def keys(self, request: Request) -> Response:
        """The keys of the series a query matches."""
        query = request.query_params.get("q", "")
        return await self._listed(request, lambda terms: self._engine.tag_keys(query, terms))

    async def values(self, request: Request) -> Response:
        """The values of a key among the series a query matches."""
        key = str(request.path_params["key"])
        query = request.query_params.get("q", "")
        return await self._listed(
            request, lambda terms: self._engine.tag_values(key, query, terms), key
        )

    async def _listed(
        self, request: Request, find: Callable[[Deadline], list[str]], key: str = ""
    ) -> Response:
        limit, is_text = _limit(request), _is_text(request)
        offset = request.query_params.get("offset", "")
        page = await self._queue.run(
            lambda deadline: _page(find(deadline), offset, limit), request=request
        )
        headers = {} if page.next_offset is None else {NEXT_OFFSET: page.next_offset}
        if is_text:
            return PlainTextResponse("\n".join(page.items), headers=headers)
        answer: list[TagCount] | list[str] = page.items
        if key and request.query_params.get("verbose") == "1":
            count = self._engine.tag_count
            answer = [TagCount(key, value, count(key, value)) for value in page.items]
        listed = json_answer(answer)
        listed.headers.update(headers)
        return listed


def _page(found: list[str], offset: str, limit: int) -> _Page:
    first = bisect_right(found, offset)
    taken = found[first : first + limit]
    return _Page(taken, taken[-1] if first + limit < len(found) else None)


def _is_text(request: Request) -> bool:
    form = request.query_params.get("format") or "json"
    if form not in {"json", "txt"}:
        raise QueryValueError(f"parameter 'format' is '{form[:40]}'; expected one of json, txt")
    return form == "txt"


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(MOST_TAGS))
    is_number = text.isascii() and text.isdigit() and len(text) <= 15
    limit = int(text) if is_number else 0
    if not 0 < limit <= MOST_TAGS:
        raise QueryValueError(f"invalid limit '{text[:40]}'; expected 1 to {MOST_TAGS}")
    return limit
