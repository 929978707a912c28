"""GET /api/v1/cardinality: where the series come from, and which limits were met."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import QueryValueError
from breakwater.web import json_answer

MOST_LISTED: Final = 1000
_LISTED: Final = 100


class CardinalityEndpoint:
    """Shows keys, names and applications with most series."""

    def __init__(self, engine: MetricsEngine, queue: QueryQueue) -> None:
        self._engine = engine
        self._queue = queue

    async def show(self, request: Request) -> Response:
        """The view as it is now, its lists cut at `limit` entries."""
        limit = _limit(request)
        found = await self._queue.run(lambda _: self._engine.cardinality(limit), request=request)
        return json_answer(found)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_LISTED))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
    if not 0 < limit <= MOST_LISTED:
        raise QueryValueError(f"invalid limit '{text[:40]}'; expected 1 to {MOST_LISTED}")
    return limit
