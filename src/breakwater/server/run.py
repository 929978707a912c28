"""`breakwater serve`: from settings to a running process, and to its clean end.

One event loop holds everything: HTTP (uvicorn), the UDP port, and the loops of the rooms. The
process is ready when its line is printed: ports are bound, kernels are compiled, what a crash
left behind is undone. SIGTERM and SIGINT end it within two seconds.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec
import structlog
import uvicorn

from breakwater.ingest import warm_up as warm_up_intake
from breakwater.model import Clock, SystemClock
from breakwater.server.app import make_app
from breakwater.server.auth import check_bind
from breakwater.server.connections import bounded_protocol, bounds_of
from breakwater.server.errors import AddressInUseError, DataFolderError
from breakwater.server.logs import configure_logs
from breakwater.server.platform import Platform
from breakwater.server.settings import Settings

log = structlog.get_logger("breakwater.server")

_BACKLOG: Final = 2_048
_LONG_WARM_UP_S: Final = 3.0
_SWITCH_S: Final = 0.001
"""How long a thread may keep the interpreter while the event loop waits for it."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What the ready file says, once the platform can be used."""

    pid: int
    host: str
    http_port: int
    udp_host: str
    udp_port: int
    url: str
    metrics: str


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us and says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        self.has_started.set()


def serve(
    settings: Settings, *, ready_file: Path | None = None, clock: Clock | None = None
) -> None:
    """Run the platform until SIGTERM or SIGINT; `clock` is the machine's unless one is given.

    Raises UnsafeBindError, AddressInUseError, and what the rooms raise for a port, a folder or a
    ledger that cannot be had.
    """
    check_bind(settings)
    if ready_file is not None and not os.access(ready_file.absolute().parent, os.W_OK):
        raise DataFolderError(
            f"the ready file {ready_file} cannot be written: its folder must exist and be writable"
        )
    configure_logs(settings.log_level)
    clock = SystemClock() if clock is None else clock
    sys.setswitchinterval(_SWITCH_S)
    anyio.run(_serve, settings, ready_file, clock, backend_options={"use_uvloop": True})


async def _serve(settings: Settings, ready_file: Path | None, clock: Clock) -> None:
    listener = listen(settings.server.host, settings.server.port)
    with contextlib.closing(listener):
        async with Platform(settings, clock) as platform:
            await _warm_up(platform)
            server = _Server(_uvicorn_config(platform))
            async with anyio.create_task_group() as background:
                for loop in platform.loops:
                    background.start_soon(loop.run)
                async with anyio.create_task_group() as foreground:
                    foreground.start_soon(server.serve, [listener])
                    foreground.start_soon(_announce, server, platform, listener, ready_file)
                    await _until_told()
                    log.info("server.stopping")
                    await platform.settle()
                    server.should_exit = True
                background.cancel_scope.cancel()
    log.info("server.stopped")


async def _warm_up(platform: Platform) -> None:
    """Have every compiled loop ready; says so when that takes long, as it does at first."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_say_what_takes_long)
        await anyio.to_thread.run_sync(platform.engine.warm_up)
        await anyio.to_thread.run_sync(warm_up_intake)
        tasks.cancel_scope.cancel()


async def _say_what_takes_long() -> None:
    await anyio.sleep(_LONG_WARM_UP_S)
    log.info("server.compiling", reason="first start of this version: about half a minute")


async def _until_told() -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


def _uvicorn_config(platform: Platform) -> uvicorn.Config:
    bounds = bounds_of(platform.settings.server)
    return uvicorn.Config(
        make_app(platform, bounds.counts),
        http=bounded_protocol(bounds),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=platform.settings.server.stop_s,  # type: ignore[arg-type]  # any seconds will do
    )


async def _announce(
    server: _Server, platform: Platform, listener: socket.socket, ready_file: Path | None
) -> None:
    """Say that the platform can be used: one line, one event, and the file if one was asked for."""
    await server.has_started.wait()
    gc.collect()
    gc.freeze()  # what is alive now stays: the collector need never look at it again
    ready = _ready(platform, listener)
    log.info("server.ready", **msgspec.structs.asdict(ready))
    print(  # noqa: T201 - the line people and scripts wait for
        f"Breakwater is ready: {ready.url} and {ready.metrics}, data in {platform.folder}",
        flush=True,
    )
    if ready_file is not None:
        write_whole(ready_file, msgspec.json.encode(ready))


def _ready(platform: Platform, listener: socket.socket) -> Ready:
    host, port = listener.getsockname()[:2]
    udp_host, udp_port = platform.settings.ingest.host, platform.udp.port
    return Ready(
        pid=os.getpid(),
        host=host,
        http_port=port,
        udp_host=udp_host,
        udp_port=udp_port,
        url=f"http://{_bracketed(host)}:{port}",
        metrics=f"udp://{_bracketed(udp_host)}:{udp_port}",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; raises AddressInUseError naming the address and the cause."""
    opened = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise AddressInUseError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with "
            "--port (0 takes a free one) or stop the process that holds it"
        ) from error
    return opened


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees it whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as written:
        written.write(content)
    Path(written.name).replace(path)
