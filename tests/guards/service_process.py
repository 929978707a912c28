"""A service as its own process: `python -m tests.guards.service_process NAME INSTANCE`.

The platform is in BREAKWATER_URL. It prints its port, serves `/call` (which calls a dependency
under guard, one that fails when asked to) and its streams, until its standard input is closed.
"""

import asyncio
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from breakwater.sdk import Service


async def main(name: str, instance: str) -> None:
    """Serve until standard input ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)  # who calls before the server runs is kept waiting, not refused
    port = listener.getsockname()[1]
    service = Service(name, instance=instance, port=port)
    account = service.command("Account", fallback=lambda error: "guest")

    async def dependency(*, fails: bool) -> str:
        if fails:
            raise OSError("down")
        return "found"

    async def call(request: Request) -> Response:
        fails = "fail" in request.query_params
        return JSONResponse(await account.call(dependency, fails=fails))

    app = service.asgi(Starlette(routes=[Route("/call", call)]), streams=True)
    # No limit to a graceful end: streams that are being watched must end by themselves.
    config = uvicorn.Config(app, log_level="warning")
    server = uvicorn.Server(config)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    serving = asyncio.create_task(server.serve([listener]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
