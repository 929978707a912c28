"""The same program against tenacity and against the shim: all that it can observe is compared."""
# mypy: disable-error-code="untyped-decorator"
# Either library is the same `lib: Any` here, so what it decorates has no type.

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import tenacity
from tests.sdk.shims.scenarios import OOPS, Plan, outcome, trail

from breakwater.sdk.shims import tenacity as shim


@pytest.mark.parametrize("reraise", [False, True])
@pytest.mark.parametrize("has_cause", [False, True])
def test_try_again_is_always_tried_again(reraise: bool, has_cause: bool) -> None:  # noqa: FBT001 - both ways
    """Whatever the strategy says; given up, what lay behind it is what is raised."""

    def scenario(lib: Any) -> Any:
        calls = []

        @lib.retry(stop=lib.stop_after_attempt(3), retry=lib.retry_never, reraise=reraise)
        def ask() -> None:
            calls.append(1)
            raise lib.TryAgain from (OSError("behind") if has_cause else None)

        return outcome(ask), len(calls)

    assert scenario(shim) == scenario(tenacity)


def test_callbacks_are_asked_in_the_same_order_with_the_same_state() -> None:
    """before, after, before_sleep, stop, wait, retry and retry_error_callback, field by field."""

    def scenario(lib: Any) -> Any:
        told: list[Any] = []

        def note(name: str, answer: Any = None) -> Callable[[Any], Any]:
            def callback(state: Any) -> Any:
                end = (
                    None if state.outcome is None else (state.outcome.failed, state.outcome.done())
                )
                told.append(
                    (
                        name,
                        state.attempt_number,
                        end,
                        None if state.outcome is None else state.outcome.attempt_number,
                        state.idle_for,
                        state.upcoming_sleep,
                        None if state.next_action is None else repr(state.next_action),
                        state.args,
                        state.kwargs,
                        state.get_fn_name().rsplit(".", 1)[-1],
                        state.seconds_since_start is None,
                    )
                )
                return answer(state) if callable(answer) else answer

            return callback

        @lib.retry(
            before=note("before"),
            after=note("after"),
            before_sleep=note("before_sleep"),
            wait=note("wait", 0.5),
            retry=note("retry", True),
            stop=note("stop", lambda state: state.attempt_number == 3),
            retry_error_callback=note("error", lambda state: state.outcome.result()),
            sleep=lambda seconds: told.append(("sleep", float(seconds))),
        )
        def ask(number: int, *, other: str) -> str:
            return f"{number}{other}"

        return ask(1, other="x"), told

    assert scenario(shim) == scenario(tenacity)


def test_blocks_go_on_as_long() -> None:
    """`for attempt in Retrying(...): with attempt:` ends like a call, and knows its name."""

    def scenario(lib: Any, *steps: Any, **settings: Any) -> Any:
        plan = Plan(*steps)
        waits: list[float] = []
        seen: list[Any] = []
        retrying = lib.Retrying(
            stop=lib.stop_after_attempt(3), wait=lib.wait_fixed(1), sleep=waits.append, **settings
        )

        def loop() -> Any:
            answer = None
            for attempt in retrying:
                with attempt:
                    state = attempt.retry_state
                    seen.append((state.attempt_number, state.get_fn_name()))
                    answer = plan()
                if not attempt.retry_state.outcome.failed:
                    attempt.retry_state.set_result(answer)
            return answer

        return outcome(loop), waits, seen, retrying.statistics.get("attempt_number")

    for steps in ((OOPS, 5), (OOPS,), (5,), (KeyError("k"), OOPS, 1)):
        assert scenario(shim, *steps, name="block") == scenario(tenacity, *steps, name="block")
        assert scenario(shim, *steps, reraise=True) == scenario(tenacity, *steps, reraise=True)
    none = {"retry": lambda lib: lib.retry_if_result(lambda r: r is None)}
    for lib_pair in ((shim, tenacity),):
        ours, theirs = (scenario(lib, None, None, 4, retry=none["retry"](lib)) for lib in lib_pair)
        assert ours == theirs


def test_objects_call_functions_directly() -> None:
    """`Retrying(...)(fn, *args)`, and the copy with other settings."""

    def scenario(lib: Any) -> Any:
        plan = Plan(OOPS)
        retrying = lib.Retrying(stop=lib.stop_after_attempt(2), reraise=True)
        more = retrying.copy(stop=lib.stop_after_attempt(4))
        first = outcome(lambda: retrying(plan))
        return first, plan.calls, outcome(lambda: more(plan)), plan.calls

    assert scenario(shim) == scenario(tenacity)


def test_decorated_functions_have_the_same_handles() -> None:
    """`.retry`, `.retry_with`, `.statistics`, `__wrapped__`, name, docstring and defaults."""

    def scenario(lib: Any) -> Any:
        plan = Plan(OOPS)

        @lib.retry(stop=lib.stop_after_attempt(2), reraise=True)
        def ask(number: int = 3) -> Any:
            """Ask."""
            return plan() if number == 3 else number

        handles = (
            ask.__name__,
            ask.__doc__,
            ask.__defaults__,
            ask.__wrapped__(4),
            ask(4),
            isinstance(ask.retry, lib.Retrying),
            ask.retry.stop.max_attempt_number,
            dict(ask.statistics)["attempt_number"],
        )
        more = ask.retry_with(stop=lib.stop_after_attempt(5))
        ends = outcome(ask), plan.calls, outcome(more), plan.calls
        ask.retry.stop = lib.stop_after_attempt(1)
        return handles, ends, outcome(ask), plan.calls, more.statistics["attempt_number"]

    assert scenario(shim) == scenario(tenacity)


def test_methods_partials_and_classes_can_be_decorated() -> None:
    """A method finds its instance; a partial and a callable object are called like functions."""

    def scenario(lib: Any) -> Any:
        class Client:
            def __init__(self) -> None:
                self.calls = 0

            @lib.retry(stop=lib.stop_after_attempt(3), reraise=True)
            def ask(self, number: int) -> int:
                self.calls += 1
                raise KeyError(number)

        client = Client()
        end = outcome(lambda: client.ask(4))
        plan = Plan(OOPS, 8)
        partial = lib.retry(stop=lib.stop_after_attempt(3))(functools.partial(plan))
        return end, client.calls, partial()

    assert scenario(shim) == scenario(tenacity)


def test_without_arguments_it_tries_until_it_succeeds() -> None:
    """`@retry` and `@retry()` alike."""

    def scenario(lib: Any, *, bare: bool) -> Any:
        plan = Plan(*[OOPS] * 12, 9)

        def ask() -> Any:
            return plan()

        decorated = lib.retry(ask) if bare else lib.retry()(ask)
        return decorated(), plan.calls

    for bare in (True, False):
        assert scenario(shim, bare=bare) == scenario(tenacity, bare=bare)


def test_a_disabled_retry_calls_once() -> None:
    """`enabled=False`, for a decorator and for a block."""

    def scenario(lib: Any) -> Any:
        plan = Plan(OOPS)

        @lib.retry(enabled=False)
        def decorated() -> Any:
            return plan()

        end = outcome(decorated)

        def loop() -> None:
            for attempt in lib.Retrying(enabled=False):
                with attempt:
                    plan()

        return end, outcome(loop), plan.calls

    assert scenario(shim) == scenario(tenacity)


def test_log_callbacks_write_the_same_lines(caplog: pytest.LogCaptureFixture) -> None:
    """before_log, after_log and before_sleep_log, for errors and answers."""
    log = logging.getLogger("parity")

    def scenario(lib: Any, *steps: Any) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="parity"):
            trail(
                lib,
                *steps,
                stop=lib.stop_after_attempt(13),
                retry=lib.retry_always,
                wait=lib.wait_fixed(0.25),
                before=lib.before_log(log, logging.INFO),
                after=lib.after_log(log, logging.INFO, sec_format="%.0f"),
                before_sleep=lib.before_sleep_log(log, logging.INFO, exc_info=False),
            )
        return [record.getMessage() for record in caplog.records]

    for steps in ((OOPS,), (1, OOPS, 2)):
        assert scenario(shim, *steps) == scenario(tenacity, *steps)


def test_outcomes_and_states_can_be_looked_at() -> None:
    """What callbacks may do with an outcome, and how a state shows itself."""

    def scenario(lib: Any) -> Any:
        seen: list[Any] = []

        def look(state: Any) -> None:
            end = state.outcome
            end.add_done_callback(lambda same: seen.append(same is end))
            shown = repr(state)
            seen.append(
                (
                    end.done(),
                    end.running(),
                    end.cancelled(),
                    end.failed,
                    repr(end.exception(timeout=1)),
                    None if end.failed else end.result(timeout=1),
                    repr(end).split("state=")[1],
                    shown[shown.index(":") :],
                )
            )

        trail(lib, OOPS, 5, stop=lib.stop_after_attempt(3), retry=lib.retry_always, after=look)
        state = lib.RetryCallState(None, None, (), {})
        seen.append(repr(state)[repr(state).index(":") :])
        seen.append(repr(lib.Future(1)).split("state=")[1])
        built = lib.Future.construct(2, OOPS, True), lib.Future.construct(2, 5, False)
        seen.extend((made.attempt_number, made.failed) for made in built)
        return seen

    assert scenario(shim) == scenario(tenacity)


def test_small_things_are_there_too(caplog: pytest.LogCaptureFixture) -> None:
    """Functions before strategies, the older name of an argument, tracebacks in logs, and naps."""

    def scenario(lib: Any) -> Any:
        state = lib.RetryCallState(None, None, (), {})
        state.attempt_number = 3
        event = threading.Event()
        event.set()
        lib.sleep_using_event(event)(1000.0)
        lib.sleep(0)
        lib.before_sleep_nothing(state)
        with pytest.warns(DeprecationWarning, match="'initial' parameter is deprecated"):
            waits = lib.wait_exponential_jitter(initial=2, jitter=0)(state)
        combined = (lambda state: 2.0) + lib.wait_fixed(1)
        either = (lambda state: False) | lib.retry_always
        both = lib.retry_always & (lambda state: True)
        strategies = combined(state), either(state), both(state), waits
        caplog.clear()
        log = lib.before_sleep_log(logging.getLogger("parity"), logging.WARNING, exc_info=True)
        trail(lib, OOPS, stop=lib.stop_after_attempt(2), before_sleep=log)
        lines = caplog.records[0].getMessage().splitlines()
        quiet = trail(lib, OOPS, 5, before=None, after=None)
        return strategies, lines[0].rsplit(".", 1)[-1], lines[1], lines[-1], quiet

    assert scenario(shim) == scenario(tenacity)


def test_every_public_name_is_there() -> None:
    """What tenacity exports, the shim does, but for the loop's inner steps."""
    missing = set(tenacity.__all__) - set(dir(shim))
    assert missing == {"NO_RESULT", "BaseAction", "WrappedFn"}
