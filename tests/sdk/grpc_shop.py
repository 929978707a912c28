"""A gRPC service of plain bytes with a method of every kind, and what it was told."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from tests.sdk.fleet import PATIENCE_S

from breakwater.sdk import CommandConfig, Service
from breakwater.sdk.grpc import guarded_channel

SERVICE = "shop.Prices"
PATIENT = CommandConfig(timeout_s=PATIENCE_S)


class Shop:
    """Answers as the request says: `code:NAME`, `hang`, else an echo in capitals."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []
        self.left_s: list[float | None] = []
        self.failures: list[str] = []
        self.pushback_ms: str | None = None
        self.entered = threading.Event()
        self.release = threading.Event()
        self.seen: list[Any] = []
        self.look: Any = None

    def get(self, request: bytes, context: Any) -> bytes:
        """One request, one answer."""
        self.note(context)
        text = request.decode()
        if self.failures:
            text = f"code:{self.failures.pop(0)}"
        if text.startswith("code:"):
            if self.pushback_ms is not None:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", self.pushback_ms),))
            context.abort(getattr(grpc.StatusCode, text[5:]), "as asked")
        if text == "crash":
            raise ZeroDivisionError
        if text == "hang":
            context.add_callback(self.release.set)
            self.entered.set()
            self.release.wait(PATIENCE_S)
        return request.upper()

    def watch(self, request: bytes, context: Any) -> Iterator[bytes]:
        """One request, many answers: as many as it says, then what comes after the comma."""
        self.note(context)
        count, _, then = request.decode().partition(",")
        for number in range(int(count)):
            yield b"%d" % number
        if then == "hang":
            context.add_callback(self.release.set)
            self.entered.set()
            self.release.wait(PATIENCE_S)
        elif then:
            context.abort(getattr(grpc.StatusCode, then), "as asked")

    def put(self, requests: Iterator[bytes], context: Any) -> bytes:
        """Many requests, one answer."""
        self.note(context)
        return b"+".join(requests)

    def chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Many requests, many answers."""
        self.note(context)
        for request in requests:
            yield request.upper()

    def note(self, context: Any) -> None:
        """Keep what came with the call."""
        self.metadata.append(dict(context.invocation_metadata()))
        left_s = context.time_remaining()
        self.left_s.append(None if left_s is None or left_s > 1e6 else left_s)
        if self.look is not None:
            self.seen.append(self.look())

    def handlers(self) -> Any:
        """For `add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Get": grpc.unary_unary_rpc_method_handler(self.get),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
                "Put": grpc.stream_unary_rpc_method_handler(self.put),
                "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            },
        )


@contextmanager
def open_shop(shop: Shop, *interceptors: Any) -> Iterator[str]:
    """The address of a server of this shop."""
    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=interceptors)
        server.add_generic_rpc_handlers((shop.handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            shop.release.set()
            server.stop(None).wait(PATIENCE_S)


def method(channel: Any, name: str) -> Any:
    """The callable of a method of the shop."""
    kinds = {
        "Get": channel.unary_unary,
        "Watch": channel.unary_stream,
        "Put": channel.stream_unary,
        "Chat": channel.stream_stream,
    }
    return kinds[name](f"/{SERVICE}/{name}")


@contextmanager
def guarded_channels(gateway: Service) -> Iterator[Callable[..., Any]]:
    """Makes channels guarded as calls to `prices`, closed at the end."""
    channels: list[Any] = []

    def make(address: str, config: CommandConfig = PATIENT, **options: Any) -> Any:
        channel = guarded_channel(
            gateway, grpc.insecure_channel(address), "prices", config, **options
        )
        channels.append(channel)
        return channel

    yield make
    for channel in channels:
        channel.close()
