"""Leaving in peace under servers that do not do it by themselves: WSGI and gRPC."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import pytest
import requests
from tests.sdk.fleet import PATIENCE_S, wsgi_serving
from tests.sdk.grpc_shop import Shop, method, open_shop

from breakwater.sdk import Service
from breakwater.sdk.drain import DrainStats, Phase
from breakwater.sdk.grpc import server_interceptor
from breakwater.sdk.wsgi import guarded_app


class Draining:
    """`service.drain` in a thread, as a signal handler or a hook of a server calls it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.told: list[DrainStats] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.told.append(self._service.drain(limit_s=PATIENCE_S))

    def await_refusing(self) -> None:
        """Wait until nobody new is let in."""
        due = threading.Event()
        for _ in range(2_000):
            if self._service.stats().drain.phase is Phase.REFUSING:
                return
            due.wait(0.005)
        raise AssertionError(self._service.stats().drain)

    def join(self) -> DrainStats:
        """How it ended."""
        self._thread.join(PATIENCE_S)
        return self.told[0]


@pytest.mark.slow
def test_a_wsgi_server_finishes_what_is_under_way() -> None:
    """Who comes late is told to go elsewhere, who was there before gets an answer."""
    entered, go_on = threading.Event(), threading.Event()

    def shop(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/wait":
            entered.set()
            go_on.wait(PATIENCE_S)
        start("200 OK", [])
        return [b"served"]

    service = Service("shop", url="none", metrics="none")
    found: list[int] = []
    with wsgi_serving(guarded_app(service, shop)) as url:

        def ask() -> None:
            found.append(requests.get(f"{url}/wait", timeout=PATIENCE_S).status_code)

        caller = threading.Thread(target=ask)
        caller.start()
        assert entered.wait(PATIENCE_S)
        draining = Draining(service)
        draining.await_refusing()
        late = requests.get(url, timeout=PATIENCE_S)
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        go_on.set()
        caller.join(PATIENCE_S)
        told = draining.join()
    service.stop()
    assert found == [200]
    assert (told.phase, told.refused, told.abandoned) == (Phase.DRAINED, 1, 0)


@pytest.mark.slow
def test_a_grpc_server_finishes_what_is_under_way() -> None:
    """A late call ends with UNAVAILABLE, which gRPC's own policies send elsewhere."""
    shop = Shop()
    service = Service("prices", url="none", metrics="none")
    with (
        service,
        open_shop(shop, server_interceptor(service)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        get = method(channel, "Get")
        hanging = get.future(b"hang")
        assert shop.entered.wait(PATIENCE_S)
        draining = Draining(service)
        draining.await_refusing()
        with pytest.raises(grpc.RpcError) as failed:
            get(b"a")
        error: Any = failed.value
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "draining")
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        shop.release.set()
        assert hanging.result(PATIENCE_S) == b"HANG"
        told = draining.join()
    assert (told.phase, told.refused, told.abandoned) == (Phase.DRAINED, 1, 0)
