"""Celery under guard: a real worker in a thread, over a broker in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, Task
from celery.contrib.testing.worker import start_worker
from kombu.exceptions import OperationalError
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guarding import PATIENT, break_at, failures, guard_in, mend

from breakwater.model import SystemClock
from breakwater.sdk import (
    BreakerConfig,
    CallRefusedError,
    CommandConfig,
    Criticality,
    DeadlineExceededError,
    RetryConfig,
    Service,
    SettingsError,
    criticality,
    current,
    deadline,
)
from breakwater.sdk.celery import TaskFaultError, guard_app
from breakwater.sdk.guard import Command


class Shop:
    """An application with some tasks, and what they saw."""

    def __init__(self, service: Service, name: str, **options: Any) -> None:
        config = options.pop("config", PATIENT)
        self.app = Celery(
            name,
            broker=f"memory://{name}",
            backend="cache+memory://",
            set_as_current=False,
            task_cls=options.pop("task_cls", None),
        )
        self.app.conf.update(
            broker_connection_retry_on_startup=False,
            worker_hijack_root_logger=False,
            task_default_queue=name,
        )
        self.app.conf.update(options.pop("settings", {}))
        self.seen: list[Any] = []
        self.guarded = guard_app(service, self.app, "jobs", config, **options)
        seen = self.seen

        def double(number: int) -> int:
            seen.append(current())
            return 2 * number

        def fail() -> None:
            raise ZeroDivisionError

        def again(task: Any) -> int:
            seen.append(current())
            if task.request.retries == 0:
                raise task.retry(countdown=0)
            return 7

        self.double = self.app.task(name="shop.double", shared=False)(double)
        self.fail = self.app.task(name="shop.fail", shared=False)(fail)
        self.again = self.app.task(name="shop.again", shared=False, bind=True)(again)


@pytest.fixture
def shop_of(shop_service: Service, request: pytest.FixtureRequest) -> Callable[..., Shop]:
    """Makes applications with a broker of their own."""
    return lambda **options: Shop(shop_service, f"q-{abs(hash(request.node.name))}", **options)


@pytest.fixture
def shop(shop_of: Callable[..., Shop]) -> Iterator[Shop]:
    """An application with a worker."""
    made = shop_of()
    with start_worker(made.app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        yield made


def guard(service: Service) -> Command:
    """The guard around publishing."""
    return guard_in(service, "jobs")


@pytest.mark.slow
def test_publishing_and_running_are_recorded(shop: Shop, meters: MeterListener) -> None:
    """One record on each side, under the task's name; the caller is who published."""
    assert shop.double.delay(4).get(PATIENCE_S) == 8
    assert shop.app.send_task("shop.double", (5,)).get(PATIENCE_S) == 10
    with pytest.raises(ZeroDivisionError):
        shop.fail.delay().get(PATIENCE_S)
    line = meters.wait_for("ipc.client.call", "ipc.server.app=jobs", "ipc.endpoint=shop.double")
    assert "ipc.status=success" in line
    line = meters.wait_for("ipc.server.call", "ipc.client.app=shop", "ipc.endpoint=shop.double")
    assert "ipc.status=success" in line
    meters.wait_for("ipc.server.call", "ipc.status=unexpected_error", "ZeroDivisionError")


@pytest.mark.slow
def test_a_task_works_in_the_context_of_who_published_it(shop: Shop) -> None:
    """Trace and criticality; the deadline of a request is not a task's, unless said so."""
    with criticality(Criticality.SHEDDABLE), deadline(60.0):
        shop.double.delay(1).get(PATIENCE_S)
    headers = {"breakwater-deadline-ms": "50000"}
    shop.double.apply_async((1,), headers=headers).get(PATIENCE_S)
    free, limited = shop.seen
    assert free.criticality is Criticality.SHEDDABLE
    assert free.trace is not None
    assert free.deadline_s is None
    assert limited.deadline_s is not None
    assert current().trace is None


@pytest.mark.slow
def test_a_task_past_its_deadline_is_not_run(
    shop_of: Callable[..., Shop], meters: MeterListener
) -> None:
    """The time in the queue counts."""
    shop = shop_of(hands_on_deadline=True)
    sent_ms = SystemClock().now_ms() - 1_000
    headers = {"breakwater-deadline-ms": "900.0", "breakwater-sent-ms": str(sent_ms)}
    late = shop.double.apply_async((1,), headers=headers)
    with deadline(60.0):
        timely = shop.double.delay(1)
    with start_worker(shop.app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        assert timely.get(PATIENCE_S) == 2
        with pytest.raises(DeadlineExceededError):
            late.get(PATIENCE_S)
    assert len(shop.seen) == 1
    meters.wait_for("ipc.server.call", "ipc.status=timeout", "past_deadline")


@pytest.mark.slow
def test_a_task_that_is_run_again_says_which_attempt_it_is(
    shop: Shop, meters: MeterListener
) -> None:
    """In the same trace as before."""
    assert shop.again.delay().get(PATIENCE_S) == 7
    first, second = shop.seen
    assert first.trace.trace_id == second.trace.trace_id
    meters.wait_for("ipc.server.call", "shop.again", "ipc.attempt=initial", "retry")
    meters.wait_for("ipc.server.call", "shop.again", "ipc.attempt=second", "ipc.status=success")


@pytest.mark.slow
def test_inbound_faults_fail_the_task(
    shop: Shop, shop_service: Service, meters: MeterListener
) -> None:
    """Before it has done anything."""
    break_at(shop_service, "inbound", "error", endpoint="shop.double", status=503)
    with pytest.raises(TaskFaultError, match="fault f: HTTP 503"):
        shop.double.delay(1).get(PATIENCE_S)
    break_at(shop_service, "inbound", "hang", endpoint="shop.double")
    late = shop.double.apply_async((1,), headers={"breakwater-deadline-ms": "200"})
    with pytest.raises(DeadlineExceededError):
        late.get(PATIENCE_S)
    mend(shop_service)
    assert shop.seen == []
    meters.wait_for("ipc.server.call", "ipc.failure.injected=true", "ipc.status=unavailable")


def test_nothing_is_published_past_the_deadline(
    shop_of: Callable[..., Shop], meters: MeterListener
) -> None:
    """The error is ours and kombu's."""
    shop = shop_of()
    with deadline(-1.0), pytest.raises(OperationalError) as late:
        shop.double.delay(1)
    assert isinstance(late.value, DeadlineExceededError)
    meters.wait_for("ipc.client.call", "ipc.status=timeout", "past_deadline")


def test_an_application_is_guarded_once(
    shop_of: Callable[..., Shop], shop_service: Service
) -> None:
    """Two guards around one another would count everything twice."""
    with pytest.raises(SettingsError, match="already"):
        guard_app(shop_service, shop_of().app, "again")


def test_what_is_called_directly_is_only_called(
    shop_of: Callable[..., Shop], meters: MeterListener
) -> None:
    """Nobody published it."""
    shop = shop_of()
    assert shop.double(3) == 6
    assert shop.double.apply((4,)).get() == 8
    assert shop.guarded.stats()[1].requests == 0


def test_faults_at_the_queue_look_like_a_dead_broker(
    shop_of: Callable[..., Shop], shop_service: Service, meters: MeterListener
) -> None:
    """Within the attempt: nothing is published, the breaker counts, the record says injected."""
    shop = shop_of(config=CommandConfig(timeout_s=0.03))
    break_at(shop_service, "queue", "error", peer="jobs", status=503)
    with pytest.raises(OperationalError, match="injected"):
        shop.double.delay(1)
    break_at(shop_service, "queue", "hang", endpoint="shop.double")
    with pytest.raises(OperationalError, match="injected"):
        shop.double.delay(1)
    assert failures(guard(shop_service)) == 2
    meters.wait_for("ipc.client.call", "ipc.failure.injected=true", "ipc.status=unavailable")


def test_a_dead_broker_fails_at_once_and_opens_the_breaker(
    shop_of: Callable[..., Shop],
    shop_service: Service,
    refusing: int,
    meters: MeterListener,
) -> None:
    """Celery's own repetitions are off; the guard's are on where told to."""
    again = RetryConfig(max_attempts=2, initial_s=0.0)
    config = CommandConfig(timeout_s=60.0, breaker=BreakerConfig(minimum_calls=2), retry=again)
    address = f"amqp://127.0.0.1:{refusing}"
    shop = shop_of(config=config, settings={"broker_url": address})
    with pytest.raises(OperationalError):
        shop.double.delay(1)
    with pytest.raises(OperationalError) as refused:
        shop.double.delay(1)
    assert isinstance(refused.value, CallRefusedError)
    meters.wait_for("ipc.client.call", "ipc.attempt=second", "ipc.status=connection_error")


def test_what_cannot_be_published_is_the_callers_fault(
    shop_of: Callable[..., Shop], shop_service: Service
) -> None:
    """Arguments that cannot be written say nothing of the broker."""
    shop = shop_of()
    with pytest.raises(Exception, match="not JSON serializable"):
        shop.double.delay(object())
    assert failures(guard(shop_service)) == 0


def test_tasks_with_a_class_of_their_own_are_served_too(
    shop_of: Callable[..., Shop],
) -> None:
    """Whatever they derive from."""
    from celery import Task  # noqa: PLC0415 - only here

    class Own(Task):  # type: ignore[misc] # untyped
        """Made by the user."""

    shop = shop_of()

    def own() -> None:
        """Does nothing."""

    shop.app.task(name="shop.own", base=Own, shared=False)(own)
    shop.app.finalize()
    assert type(shop.app.tasks["shop.own"]).__call__.__qualname__.startswith("GuardedApp")


@pytest.mark.slow
@pytest.mark.parametrize("is_of_app", [True, False])
def test_a_tasks_own_call_is_made(
    shop_of: Callable[..., Shop], meters: MeterListener, *, is_of_app: bool
) -> None:
    """A `__call__` of the user's, as the one that enters an application's context, is not lost."""
    within: list[str] = []

    class InContext(Task):  # type: ignore[misc] # untyped
        abstract = True

        def __call__(self, *args: Any, **options: Any) -> Any:
            within.append("in")
            try:
                return self.run(*args, **options)
            finally:
                within.append("out")

    def look() -> list[str]:
        return list(within)

    if is_of_app:
        shop = shop_of(task_cls=InContext)
        shop.app.task(name="shop.look", shared=False)(look)
    else:
        shop = shop_of()
        shop.app.task(name="shop.look", base=InContext, shared=False)(look)
    with start_worker(shop.app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        assert shop.app.send_task("shop.look").get(PATIENCE_S) == ["in"]
    assert within == ["in", "out"]
    meters.wait_for("ipc.server.call", "ipc.endpoint=shop.look", "ipc.status=success")
