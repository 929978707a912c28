"""A worker as its own process: `python -m tests.sdk.celery_process PORT QUEUE`.

It serves the queue of a Redis at that port until it is told to stop (SIGTERM).
"""

import sys
from typing import Any

from celery import Celery
from redis import Redis

from breakwater.sdk import Service, current
from breakwater.sdk.celery import guard_app


def application(port: int, queue: str) -> Celery:
    """The application as publisher and worker both make it; a message is given again after 1 s."""
    url = f"redis://127.0.0.1:{port}/0"
    app = Celery("shop", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=False,
        broker_transport_options={"visibility_timeout": 1},
        task_default_queue=queue,
        worker_hijack_root_logger=False,
    )
    return app


def give(app: Any, port: int) -> None:
    """Its tasks: `shop.double`, and `shop.once`, whose first run stands still for ever."""
    redis = Redis(port=port, decode_responses=True)

    def double(number: int) -> int:
        return 2 * number

    def once() -> list[str]:
        trace = current().trace
        assert trace is not None
        if redis.rpush("runs", trace.trace_id) == 1:
            redis.blpop(["nothing"])
        return [str(run) for run in redis.lrange("runs", 0, -1)]

    app.task(name="shop.double", shared=False)(double)
    app.task(name="shop.once", shared=False, acks_late=True)(once)


def main(port: int, queue: str) -> None:
    """Work until told to stop."""
    app = application(port, queue)
    give(app, port)
    with Service("shop", url="none") as service:
        guard_app(service, app, "jobs")
        arguments = ["worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip"]
        app.worker_main([*arguments, "--without-mingle", "--without-heartbeat"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
