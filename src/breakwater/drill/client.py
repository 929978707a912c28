"""The platform as the drill sees it: a handful of HTTP calls."""

from types import TracebackType
from typing import Any, Self

import aiohttp
import anyio
import msgspec

from breakwater.chaos import Fault
from breakwater.drill.errors import StageError
from breakwater.incidents import Incident, TriageResult
from breakwater.model import InstanceView
from breakwater.topology import Topology


class PlatformClient:
    """Talks to one `breakwater serve` and to the load generator of its fleet."""

    def __init__(self, url: str, players_url: str) -> None:
        self._url = url
        self._players_url = players_url
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def incidents(self) -> list[Incident]:
        """Paged incidents, the open one first."""
        return msgspec.json.decode(await self._get("/api/v1/incidents"), type=list[Incident])

    async def triage(self, **query: int) -> TriageResult:
        """A judgement of the last minutes, or of the window given."""
        return msgspec.json.decode(await self._get("/api/v1/triage", **query), type=TriageResult)

    async def report(self, path: str, shape: str, **query: int) -> bytes:
        """A report of `path` (`/api/v1/triage` or `/api/v1/incidents/N`) as html or png."""
        return await self._get(path, format=shape, **query)

    async def topology(self, window_s: int) -> Topology:
        """Who calls whom in the last seconds."""
        return msgspec.json.decode(
            await self._get("/api/v1/topology", window_s=window_s), type=Topology
        )

    async def line(self, program: str, *, end_ms: int, seconds: int, step_ms: int) -> list[float]:
        """Values of the first line of `program` up to `end_ms`; gaps are 0."""
        end = end_ms // step_ms * step_ms - step_ms
        body = await self._get(
            "/api/v1/graph",
            q=program,
            s=end - seconds * 1000,
            e=end,
            step=f"{step_ms // 1000}s",
            format="std.json",
        )
        answer: dict[str, Any] = msgspec.json.decode(body)
        return [0.0 if row[0] in {None, "NaN"} else float(row[0]) for row in answer["values"]]

    async def values(self, program: str, *, start_ms: int, seconds: int) -> list[float]:
        """`program` second by second, for so many seconds after `start_ms`; gaps are 0."""
        body = await self._get(
            "/api/v1/graph",
            q=program,
            s=start_ms,
            e=start_ms + seconds * 1000,
            step="1s",
            format="std.json",
        )
        answer: dict[str, Any] = msgspec.json.decode(body)
        first_ms = int(answer["start"])
        found = [0.0] * seconds
        for place, row in enumerate(answer["values"]):
            second = (first_ms + place * 1000 - start_ms) // 1000 - 1
            if 0 <= second < seconds and row and row[0] not in {None, "NaN"}:
                found[second] = float(row[0])
        return found

    async def set_guard(self, key: str, *, value: bool, duration_s: float) -> None:
        """Set a key of every guarded command of every service, for so long at most."""
        request = {"key": key, "value": value, "duration_s": duration_s, "actor": "prove"}
        await self._send("PUT", f"{self._url}/api/v1/guards/config", request)

    async def unset_guard(self, key: str) -> None:
        """Take that back."""
        query: dict[str, int | str] = {"key": key, "actor": "prove"}
        await self._send("DELETE", f"{self._url}/api/v1/guards/config", None, query)

    async def inject(self, request: dict[str, Any]) -> Fault:
        """Start a fault."""
        body = await self._send("POST", f"{self._url}/api/v1/chaos/faults", request)
        return msgspec.json.decode(body, type=Fault)

    async def undo_all(self) -> None:
        """End every fault."""
        await self._send("DELETE", f"{self._url}/api/v1/chaos/faults")

    async def set_load(self, rps: float) -> None:
        """Make the players send `rps` requests a second to the edge."""
        await self._send("POST", f"{self._players_url}/load", {"rps": rps})

    async def load(self) -> dict[str, Any]:
        """What the players have counted since they started."""
        found: dict[str, Any] = msgspec.json.decode(
            await self._send("GET", f"{self._players_url}/load")
        )
        return found

    async def wait_listed(self, service: str, instance: str, patience_s: float = 30.0) -> None:
        """Wait until the registry shows the instance as UP."""
        with anyio.fail_after(patience_s):
            while True:
                body = await self._get("/api/v1/registry/instances", service=service)
                view = msgspec.json.decode(body, type=InstanceView)
                if any(
                    one.instance_id == instance and one.status == "UP" for one in view.instances
                ):
                    return
                await anyio.sleep(0.1)

    async def _get(self, path: str, **query: int | str) -> bytes:
        return await self._send("GET", self._url + path, None, query)

    async def _send(
        self,
        method: str,
        url: str,
        content: dict[str, Any] | None = None,
        query: dict[str, int | str] | None = None,
    ) -> bytes:
        try:
            async with self._session.request(
                method, url, json=content, params=query or {}
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StageError(f"{method} {url} was not answered: {error!r}") from error
        if answer.status >= 400:
            text = body.decode(errors="replace")[:500]
            raise StageError(f"{method} {url} was refused ({answer.status}): {text}")
        return body
