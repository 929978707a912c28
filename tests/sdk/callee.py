"""A server to be called, and clients that call it."""

import threading
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.sdk.fleet import PATIENCE_S

from breakwater.model import Instance
from breakwater.sdk import (
    CallError,
    Service,
)
from breakwater.sdk.aiohttp import Client


class Callee:
    """A server that answers as its paths say and keeps the headers it got."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.is_hanging = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/status/{code:int}", self.status, methods=["GET", "POST"]),
                Route("/hang", self.hang),
                Route("/echo", self.echo, methods=["POST"]),
                Route("/moved", self.moved),
            ]
        )

    async def status(self, request: Request) -> Response:
        """Answer with a given status."""
        self.headers.append(dict(request.headers))
        return JSONResponse({"ok": True}, status_code=request.path_params["code"])

    async def hang(self, request: Request) -> Response:
        """Wait until nobody waits any more."""
        self.is_hanging.set()
        while (await request.receive())["type"] != "http.disconnect":
            continue
        return Response()

    async def echo(self, request: Request) -> Response:
        """Tell what was sent."""
        return JSONResponse(
            {
                "body": (await request.body()).decode(),
                "type": request.headers.get("content-type"),
                "mine": request.headers.get("x-mine"),
                "query": dict(request.query_params),
            }
        )

    async def moved(self, _request: Request) -> Response:
        """Point elsewhere."""
        return Response(status_code=302, headers={"location": "/hang"})


def account(gateway: Service, *ports: int, **options: Any) -> Client:
    """A client for instances account-0, account-1 ... on these ports; patient unless told so."""
    fixed = [
        Instance(service="account", instance_id=f"account-{n}", host="127.0.0.1", port=port)
        for n, port in enumerate(ports)
    ]
    return gateway.client("account", instances=fixed, **{"timeout_s": PATIENCE_S, **options})


async def failing(client: Client, path: str, **options: Any) -> CallError:
    """The error a call ends with."""
    with pytest.raises(CallError) as failed:
        await client.get(path, **options)
    return failed.value
