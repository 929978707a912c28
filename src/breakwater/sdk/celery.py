"""Celery: publishing under guard, and tasks as calls that are served.

    app = Celery("shop", broker=...)
    guard_app(service, app, "jobs")

In whatever process publishes, each message is a guarded call to `jobs` (faults at the point
`queue`), named after its task, and carries who calls, the trace, baggage and criticality. In the
worker each run of a task is recorded as served for that caller and works in that context; faults
at the point `inbound` are suffered before it.

The deadline of whoever publishes is not handed on, since most tasks are meant to outlive the
request, unless `hands_on_deadline` says so, or the header `breakwater-deadline-ms` is given with
the message. The time a message lay in its queue counts; it is measured by the wall clocks of the
two machines. A task whose deadline has passed fails with LateTaskError and is not run.

Celery's own repetition of a failed publish is switched off, unless a call asks for it: the guard
tries again if its configuration says so, and then with the same id, so that the worker can tell.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from breakwater.sdk.needs import not_installed

try:
    from celery import exceptions as celery_errors
    from celery.app.task import Task
except ModuleNotFoundError as error:
    raise not_installed(error, "celery") from None

from kombu import exceptions as kombu_errors
from kombu.utils.uuid import uuid

from breakwater.model import BreakwaterError, Status
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.context import CURRENT
from breakwater.sdk.endpoints import Labels
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
)
from breakwater.sdk.faults import InjectedFaultError, inject_sync
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.guard import CommandConfig
from breakwater.sdk.guard.sharing.scope import request_scope
from breakwater.sdk.guard.travel.code import RetryOn
from breakwater.sdk.outbound import Outbound, OutboundStats, guard_of
from breakwater.sdk.outcomes import connection_detail, status_of_answer, translated
from breakwater.sdk.propagation import ATTEMPT, CALLER, CALLER_NODE, DEADLINE
from breakwater.sdk.reception import Reception, Visit

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

DEFAULT: Final = CommandConfig(timeout_s=5.0)
SENT: Final = "breakwater-sent-ms"
"""When a message was published, wall time."""
_NAMES: Final = (CALLER, CALLER_NODE, ATTEMPT, DEADLINE, "traceparent", "tracestate", "baggage")


class RefusedError(CallRefusedError, kombu_errors.OperationalError):
    """The guard refused the message; nothing was published."""


class TimedOutError(AttemptTimedOutError, kombu_errors.OperationalError):
    """Publishing ran into the guard's time limit."""


class PastDeadlineError(DeadlineExceededError, kombu_errors.OperationalError):
    """The caller's deadline had passed before."""


class InjectedError(kombu_errors.OperationalError):
    """A fault on purpose, with the HTTP status of its rule."""

    def __init__(self, status: int) -> None:
        super().__init__(f"injected fault (HTTP {status})")
        self.http_status = status


class LateTaskError(DeadlineExceededError):
    """The deadline of a task passed before it was run; can be rebuilt where its result is read."""

    def __init__(self, service: str, endpoint: str) -> None:
        super().__init__(service=service, endpoint=endpoint)
        self.args = (service, endpoint)


class TaskFaultError(BreakwaterError):
    """A rule says that a task fails, with this HTTP status; can be rebuilt as well."""

    def __init__(self, message: str, http_status: int) -> None:
        super().__init__(message, http_status)
        self.http_status = http_status

    def __str__(self) -> str:
        return str(self.args[0])


class GuardedApp:
    """What is around an application of Celery; made by `guard_app`."""

    def __init__(
        self, service: "Service", app: Any, outbound: Outbound, *, hands_on_deadline: bool
    ) -> None:
        self._runtime = service.runtime
        self._outbound = outbound
        self._hands_on_deadline = hands_on_deadline
        self._labels = Labels()
        self._reception = Reception(service.runtime)
        app.send_task = self._sending(app, app.send_task)
        self._serve_as(app.Task)
        app.on_after_finalize.connect(self._serve_others, weak=False)
        if app.finalized:
            self._serve_others(app)

    # Publishing

    def _sending(self, app: Any, send: Callable[..., Any]) -> Callable[..., Any]:
        """`send_task` under guard; every kind of publishing a task comes through it."""
        peer = self._outbound.peer

        if getattr(send, "is_guarded", False):
            raise SettingsError(f"the application is under guard already, not again as {peer!r}")

        def send_task(name: str, *args: Any, **options: Any) -> Any:
            options.setdefault("retry", False)
            if len(args) < 5 and options.get("task_id") is None:
                options["task_id"] = uuid()
            given = options.get("headers") or {}
            deadline_s = CURRENT.get().deadline_s if self._hands_on_deadline else None

            def attempt(one: Attempt) -> Any:
                own = {**options, "headers": self._headers(given, deadline_s)}
                with app.producer_or_acquire(own.get("producer")) as producer:
                    left_s = one.left_s()
                    _connect(producer.connection, left_s)
                    if left_s is not None:
                        own.setdefault("timeout", left_s)
                    return send(name, *args, **{**own, "producer": producer})

            try:
                return self._outbound.call_sync(
                    self._labels.name(name),
                    attempt,
                    header=header_of({k: v for k, v in given.items() if isinstance(v, str)}),
                    answer_for=_injected,
                    late=_late,
                )
            except CallError as error:
                raise translated(error, kombu_errors.OperationalError, _OURS) from error

        send_task.is_guarded = True  # type: ignore[attr-defined] # a mark
        return send_task

    def _headers(self, given: Mapping[str, Any], deadline_s: float | None) -> dict[str, Any]:
        if SENT in given:  # a task that Celery runs again: all is as it was the first time
            return dict(given)
        told: dict[str, Any] = dict(self._outbound.headers(None))
        told[SENT] = str(self._runtime.clock.now_ms())
        if deadline_s is not None:
            left_s = max(0.0, deadline_s - self._runtime.clock.monotonic_s())
            told[DEADLINE] = f"{left_s * 1000.0:.3f}"
        return {**told, **given}

    # Serving

    def _serve_others(self, sender: Any, **_: Any) -> None:
        """Tasks with a class of their own, or with a `__call__` of their own."""
        for task in sender.tasks.values():
            if not getattr(type(task).__call__, "is_guarded", False):
                self._serve_as(type(task))

    def _serve_as(self, kind: type[Task]) -> None:
        """Have tasks of this class served; what is called directly is only called."""
        guarded = self
        call = kind.__call__
        is_stock = next(one for one in kind.__mro__ if "__call__" in vars(one)) is Task

        def served(task: Any, *args: Any, **options: Any) -> Any:
            request = task.request
            is_ours = not (request.called_directly or request.is_eager or request.get(_SERVED))
            if not is_ours:
                return call(task, *args, **options)
            setattr(request, _SERVED, True)
            run = task.run if is_stock else partial(call, task)
            return guarded.serve(task, request, partial(run, *args, **options))

        served.is_guarded = True  # type: ignore[attr-defined] # a mark
        kind.__call__ = served

    def serve(self, task: Any, request: Any, run: Callable[[], Any]) -> Any:
        """Run a task as a worker does, as a call that is served.

        run: what Celery would run, which is the user's own `__call__` where there is one.
        """
        endpoint = self._labels.name(task.name)
        headers = self._told(request)
        visit = self._reception.begin(
            [(name.encode(), text.encode("latin-1", "replace")) for name, text in headers.items()]
        )
        token = CURRENT.set(visit.context)
        try:
            with request_scope():
                self._suffer(visit, endpoint, headers)
                answer = run()
        except BaseException as error:
            visit.end(endpoint, *_ended(error))
            raise
        finally:
            CURRENT.reset(token)
        visit.end(endpoint, Status.SUCCESS)
        return answer

    def _told(self, request: Any) -> dict[str, str]:
        """The headers that came with the message, with the time it lay in the queue taken off."""
        found = {name: str(text) for name in _NAMES if (text := request.get(name)) is not None}
        if request.retries:
            found[ATTEMPT] = str(min(request.retries + 1, 99))
        try:
            sent_ms, budget_ms = int(request.get(SENT)), float(found[DEADLINE])
        except (KeyError, TypeError, ValueError):
            return found
        waited_ms = max(0, self._runtime.clock.now_ms() - sent_ms)
        found[DEADLINE] = f"{max(0.0, budget_ms - waited_ms):.3f}"
        return found

    def _suffer(self, visit: Visit, endpoint: str, headers: dict[str, str]) -> None:
        """Refuse what nobody waits for any more, and do what fault rules say."""
        service = self._runtime.settings.service
        if visit.is_late:
            visit.end(endpoint, Status.TIMEOUT, "past_deadline")
            raise LateTaskError(service, endpoint)
        hits = visit.hits(endpoint, header_of(headers))
        if not hits:
            return
        try:
            inject_sync(self._runtime.faults, hits, visit.left_s())
        except InjectedFaultError as fault:
            raise TaskFaultError(str(fault), fault.status) from fault
        except TimeoutError as error:
            raise LateTaskError(service, endpoint) from error

    def stats(self) -> tuple[OutboundStats, ServerStats]:
        """What was published, and what was served, since the application came under guard."""
        return self._outbound.stats(), self._reception.stats()


def guard_app(
    service: "Service",
    app: Any,
    peer: str,
    config: CommandConfig | None = None,
    *,
    hands_on_deadline: bool = False,
    retry_on: RetryOn = (kombu_errors.OperationalError,),
) -> GuardedApp:
    """Put an application under guard, in whatever publishes and in its workers.

    Raises SettingsError the second time.

    peer: the name of the broker in records, guard and fault rules. config: of the guard around
    publishing. hands_on_deadline: tasks end with the deadline of whoever published them.
    """
    command = guard_of(service.guards, peer, config or DEFAULT, group="celery", retry_on=retry_on)
    outbound = Outbound(service.runtime, peer, command=command, point="queue", classify=_classify)
    return GuardedApp(service, app, outbound, hands_on_deadline=hands_on_deadline)


def _connect(connection: Any, limit_s: float | None) -> None:
    """Connect within the time of the attempt; by itself kombu tries again for some seconds."""
    if connection is None or connection.connected:
        return
    given_s = connection.connect_timeout
    limits = [s for s in (given_s, limit_s) if s]
    connection.connect_timeout = min(limits, default=None)
    try:
        connection.ensure_connection(max_retries=0)
    finally:
        connection.connect_timeout = given_s


def _classify(error: BaseException) -> tuple[Status, str] | None:
    """Call status and detail of an error when publishing."""
    if isinstance(error, InjectedError):
        return status_of_answer(error.http_status)
    if isinstance(error, kombu_errors.OperationalError):
        return Status.CONNECTION_ERROR, connection_detail(error)
    if isinstance(error, _CALLERS_OWN):
        return Status.BAD_REQUEST, type(error).__name__
    return None


def _ended(error: BaseException) -> tuple[Status, str]:
    """How a run of a task ended, for its record."""
    if isinstance(error, celery_errors.Ignore):
        return Status.SUCCESS, ""
    if isinstance(error, celery_errors.SoftTimeLimitExceeded):
        return Status.TIMEOUT, "soft_time_limit"
    if isinstance(error, DeadlineExceededError):
        return Status.TIMEOUT, "deadline"
    if isinstance(error, TaskFaultError):
        return status_of_answer(error.http_status)
    if not isinstance(error, Exception):
        return Status.CANCELLED, type(error).__name__
    detail = "retry" if isinstance(error, celery_errors.Retry) else type(error).__name__
    return Status.UNEXPECTED_ERROR, detail


def _injected(_attempt: Attempt, status: int) -> Any:
    raise InjectedError(status)


def _late() -> Exception:
    return cast("Exception", kombu_errors.OperationalError("injected fault: no answer in time"))


_SERVED: Final = "breakwater_served"
_CALLERS_OWN: Final = (
    kombu_errors.SerializationError,
    kombu_errors.ContentDisallowed,
    celery_errors.ImproperlyConfigured,
    TypeError,
    ValueError,
)
_OURS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedError,
    AttemptTimedOutError: TimedOutError,
    DeadlineExceededError: PastDeadlineError,
}
