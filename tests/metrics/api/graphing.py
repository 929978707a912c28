"""A graph endpoint with a little behind it, and a client that asks."""

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.api.graphs import graph_routes
from breakwater.metrics.api.queue import QueryQueue
from breakwater.model import Change, ChangeKind, UnavailableError
from breakwater.model.percentiles import timer_tag
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000

BY_APP = "name,calls,:eq,(,nf.app,),:by"

COMMON = {"s": "e-3s", "step": "1s"}

PNG = b"\x89PNG\r\n"


class Told:
    """A journal that holds what it is given."""

    def __init__(self) -> None:
        self.held: list[Change] = []
        self.asked: list[tuple[int | None, int | None, tuple[ChangeKind, ...]]] = []
        self.is_down = False

    async def changes(
        self,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        kinds: Sequence[ChangeKind] = (),
        limit: int = 1_000,
    ) -> list[Change]:
        if self.is_down:
            raise UnavailableError("the disk is full")
        self.asked.append((start_ms, end_ms, tuple(kinds)))
        return [change for change in self.held if change.kind in kinds][:limit]


class Graphs:
    """A client of the endpoint over three seconds of three apps, and the journal behind it."""

    def __init__(self) -> None:
        clock = FakeClock(T0)
        self.engine = MetricsEngine(MetricsSettings(), clock)
        self.journal = Told()
        for second in (1, 2, 3):
            clock.advance(1)
            stamp = T0 + second * 1000
            for app, value in (("api", 5.0), ("www", 1.0 * second), ("db", 10.0 / second)):
                if (app, second) != ("www", 2):
                    tags = {"name": "calls", "nf.app": app, "nf.zone": "a"}
                    self.engine.write_series(tags, stamp, value)
            tags = {"name": "wait", "percentile": timer_tag(0.02), "statistic": "percentile"}
            self.engine.write_series(tags, stamp, 4.0)
        routes = graph_routes(self.engine, QueryQueue(self.engine), self.journal)
        self.client = TestClient(Starlette(routes=routes))

    def get(self, q: str, **more: Any) -> Any:
        """The answer to one request, which must be one."""
        headers = more.pop("headers", {})
        answer = self.client.get(
            "/api/v1/graph", params={"q": q, **COMMON, **more}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        return answer

    def legends(self, q: str, **more: Any) -> list[str]:
        """The legends in the order they are shown."""
        found: list[str] = self.get(q, format="std.json", **more).json()["legend"]
        return found

    def entries(self, q: str, kind: str, **more: Any) -> list[dict[str, Any]]:
        """The objects of one type in v2.json."""
        body = self.get(q, format="v2.json", **{"hints": "no-image", **more}).json()
        return [entry for entry in body if entry["type"] == kind]

    def refusal(self, **params: Any) -> str:
        """The message of a request that must be refused."""
        answer = self.client.get("/api/v1/graph", params={**COMMON, **params})
        assert answer.status_code == 400
        body = answer.json()
        assert body["type"] == "error"
        return str(body["message"])
