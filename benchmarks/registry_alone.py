"""A registry without the rest of the platform, as a process that starts in a second.

`python -m benchmarks.registry_alone --host H --port P --data-dir D [--set registry.name=value]...`
takes of the flags of `breakwater serve` those that concern it, and prints a line when it answers.
"""

import argparse
import ctypes
import os
import signal
import socket
import tomllib
from pathlib import Path

import anyio
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from breakwater.model import SystemClock
from breakwater.registry import Directory, RegistrySettings
from breakwater.registry.http import routes
from breakwater.storage import ControlDatabase
from breakwater.web import json_answer


class _Server(uvicorn.Server):
    """Says when it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        print("ready", flush=True)


async def _serve(given: argparse.Namespace) -> None:
    settings = _settings(given.set)
    async with ControlDatabase(Path(given.data_dir) / "control.db") as database:
        directory = Directory(settings, SystemClock(), database)
        await directory.recall()

        async def stats(_: Request) -> Response:
            return json_answer(directory.stats())

        async def health(_: Request) -> Response:
            return JSONResponse({"registry-disk": directory.is_durable})

        own = [Route("/api/v1/stats", stats), Route("/healthcheck", health)]
        app = Starlette(routes=[*own, *routes(directory)])
        config = uvicorn.Config(
            app, host=given.host, port=given.port, log_level="error", ws="none", lifespan="off"
        )
        async with anyio.create_task_group() as group:
            group.start_soon(directory.run)
            await _Server(config).serve()
            directory.close()
            group.cancel_scope.cancel()
        await directory.flush()


def _settings(assignments: list[str]) -> RegistrySettings:
    tree: dict[str, object] = {}
    for text in assignments:
        name, _, value = text.partition("=")
        section, _, key = name.partition(".")
        if section != "registry":
            continue
        try:
            tree[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            tree[key] = value
    return msgspec.convert(tree, RegistrySettings)


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--set", action="append", default=[])
    given, _ = parser.parse_known_args()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with whoever started it
    os.makedirs(given.data_dir, exist_ok=True)  # noqa: PTH103 - one call
    anyio.run(_serve, given)


if __name__ == "__main__":
    main()
