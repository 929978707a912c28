"""What is asked of metrics over HTTP: graphs, streams of them, tags, programs, cardinality.

Each family of endpoints is a module of `api`; all queries take their turns in one queue. A query
that asks for too much, like any other bad input, is 400 with the limit and the count; one that
came at a bad moment, or took too long, is 503.
"""

from starlette.routing import BaseRoute, Route

from breakwater.metrics.api.archives import ArchiveEndpoint
from breakwater.metrics.api.cardinality import CardinalityEndpoint
from breakwater.metrics.api.expr import ExpressionEndpoints
from breakwater.metrics.api.fetch import FetchEndpoint
from breakwater.metrics.api.graphs import graph_routes, status_of
from breakwater.metrics.api.operations import operations
from breakwater.metrics.api.pictures import ChangeSource
from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.api.tags import TagEndpoints
from breakwater.metrics.engine import MetricsEngine
from breakwater.web import Endpoint, answering_errors

__all__ = ["QueryQueue", "operations", "routes"]


def routes(
    engine: MetricsEngine,
    queue: QueryQueue | None = None,
    changes: ChangeSource | None = None,
) -> list[BaseRoute]:
    """The query endpoints of one engine; `now` in a time is read from the engine's clock.

    `queue` is where queries take their turns, one of their own by default; `changes` is where
    changes drawn on pictures come from, nowhere by default.
    """
    queue = queue or QueryQueue(engine)
    tags = TagEndpoints(engine, queue)
    expressions = ExpressionEndpoints(engine, queue)
    table: list[tuple[str, Endpoint]] = [
        ("/api/v2/fetch", FetchEndpoint(engine, queue).fetch),
        ("/api/v1/tags", tags.keys),
        ("/api/v1/tags/{key}", tags.values),
        ("/api/v1/cardinality", CardinalityEndpoint(engine, queue).show),
        ("/api/v1/words", expressions.words),
        *((f"/api/v1/expr{path}", each) for path, each in expressions.table.items()),
    ]
    archive = ArchiveEndpoint(engine)
    return [
        *graph_routes(engine, queue, changes),
        Route("/api/v1/archive", answering_errors(archive.show, status_of), methods=["GET"]),
        Route("/api/v1/archive", answering_errors(archive.export, status_of), methods=["POST"]),
        *(
            Route(path, answering_errors(endpoint, status_of), methods=["GET"])
            for path, endpoint in table
        ),
    ]
