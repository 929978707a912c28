"""Celery under guard over a real broker: a Redis of our own, and workers that are processes."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import pools
from kombu.exceptions import OperationalError
from redis import Redis
from tests.sdk.celery_process import application
from tests.sdk.databases import redis as redis_server
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guarding import wait_until

from breakwater.model import SystemClock
from breakwater.sdk import CommandConfig, Criticality, Service, criticality
from breakwater.sdk.celery import GuardedApp, guard_app

pytestmark = pytest.mark.slow
"""Servers and workers have to be started."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def broker() -> Iterator[int]:
    """Where Redis listens."""
    with redis_server() as port:
        yield port


@pytest.fixture
def redis(broker: int) -> Iterator[Redis]:
    """A look into the broker, empty at first."""
    with Redis(port=broker) as client:
        client.flushall()
        yield client


@pytest.fixture
def queue() -> str:
    """A queue of one test."""
    return f"q-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def published(service_of: Callable[..., Service], broker: int, queue: str) -> Iterator[Any]:
    """The application of who publishes, under guard: `app`, and what is around it."""
    with service_of("gateway", url="none") as service:
        app = application(broker, queue)
        guarded = guard_app(service, app, "jobs", CommandConfig(timeout_s=PATIENCE_S))
        yield app, guarded
        app.backend.result_consumer.stop()
        app.backend.client.close()
        app.close()
        pools.reset()  # type: ignore[no-untyped-call] # of kombu, where connections outlive apps


@contextmanager
def worker(broker: int, queue: str, meters: MeterListener, name: str) -> Iterator[Any]:
    """A worker's process; whatever happens it does not outlive the block."""
    settings = {
        "BREAKWATER_INSTANCE": name,
        "BREAKWATER_METRICS": meters.url,
        "BREAKWATER_ZONE": "a",
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.celery_process", str(broker), queue],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()


def test_a_message_goes_through_a_broker_to_a_worker(
    published: tuple[Celery, GuardedApp],
    broker: int,
    queue: str,
    redis: Redis,
    meters: MeterListener,
) -> None:
    """Recorded on both sides, in one trace, for who published."""
    app, guarded = published
    with criticality(Criticality.SHEDDABLE):
        waiting = app.send_task("shop.double", (4,))
    assert redis.llen(queue) == 1
    with worker(broker, queue, meters, "shop-1"):
        assert waiting.get(PATIENCE_S) == 8
        line = meters.wait_for("ipc.server.call", "nf.node=shop-1", "ipc.endpoint=shop.double")
    for tag in ("ipc.client.app=gateway", "ipc.status=success", "ipc.server.app=shop"):
        assert tag in line
    line = meters.wait_for("ipc.client.call", "nf.node=gateway-1", "ipc.server.app=jobs")
    assert "ipc.status=success" in line
    assert guarded.stats()[0].attempts == 1


def test_a_message_of_a_worker_that_was_killed_is_served_again(
    published: tuple[Celery, GuardedApp],
    broker: int,
    queue: str,
    redis: Redis,
    meters: MeterListener,
) -> None:
    """With late acknowledgement: by another worker, in the same trace; that run is the record."""
    app, _ = published
    with worker(broker, queue, meters, "shop-1") as first:
        waiting = app.send_task("shop.once")
        wait_until(lambda: redis.llen("runs") == 1)
        first.kill()
        first.wait(PATIENCE_S)

    def is_overdue() -> bool:
        given: Any = redis.zrange("unacked_index", 0, -1, withscores=True)
        return bool(given) and SystemClock().now_ms() / 1000.0 - given[0][1] > 1.0

    wait_until(is_overdue)
    with worker(broker, queue, meters, "shop-2"):
        one, other = waiting.get(PATIENCE_S)
        meters.wait_for("ipc.server.call", "nf.node=shop-2", "ipc.endpoint=shop.once")
    assert one == other
    assert redis.zcard("unacked_index") == 0
    assert meters.having("ipc.server.call", "nf.node=shop-1", "ipc.endpoint=shop.once") == []


def test_a_broker_that_is_gone_counts(
    service_of: Callable[..., Service], refusing: int, queue: str, meters: MeterListener
) -> None:
    """At once: neither kombu nor Celery tries again by itself."""
    with service_of("gateway", url="none") as service:
        app = application(refusing, queue)
        guarded = guard_app(service, app, "jobs")
        with pytest.raises(OperationalError):
            app.send_task("shop.double", (1,))
        assert guarded.stats()[0].attempts == 1
        app.close()
        pools.reset()  # type: ignore[no-untyped-call] # as above
    line = meters.wait_for("ipc.client.call", "ipc.status=connection_error")
    assert "ipc.status.detail=refused" in line
