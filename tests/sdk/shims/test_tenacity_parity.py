"""The same program against tenacity and against the shim: all that it can observe is compared."""
# mypy: disable-error-code="untyped-decorator"
# Either library is the same `lib: Any` here, so what it decorates has no type.

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import tenacity
import tenacity.asyncio
from tests.sdk.shims.scenarios import Plan, described, outcome

from breakwater.sdk.shims import tenacity as shim
from breakwater.sdk.shims.tenacity import asyncio as shim_asyncio

Scenario = Callable[[Any], Any]
OOPS = ValueError("oops")


def trail(lib: Any, *steps: Any, **settings: Any) -> Any:
    """One decorated call: its end, how often it was made, the waits, and the statistics."""
    plan = Plan(*steps)
    waits: list[float] = []

    @lib.retry(sleep=waits.append, **settings)
    def decorated() -> Any:
        return plan()

    end = outcome(decorated)
    figures = {k: v for k, v in decorated.statistics.items() if k != "start_time"}
    figures.pop("delay_since_first_attempt", None)
    return end, plan.calls, [float(wait) for wait in waits], figures


STOPS: dict[str, Scenario] = {
    "attempts": lambda lib: lib.stop_after_attempt(4),
    "delay": lambda lib: lib.stop_after_delay(0),
    "delay_span": lambda lib: lib.stop_after_delay(timedelta(0)),
    "before_delay": lambda lib: lib.stop_before_delay(1),
    "any": lambda lib: lib.stop_after_attempt(3) | lib.stop_after_delay(60),
    "all": lambda lib: lib.stop_after_attempt(2) & lib.stop_after_delay(0),
    "any_of": lambda lib: lib.stop_any(lib.stop_never, lib.stop_after_attempt(2)),
    "all_of": lambda lib: lib.stop_all(lib.stop_after_attempt(2), lib.stop_after_attempt(3)),
    "event": lambda lib: lib.stop_when_event_set(happened()),
    "function": lambda lib: lambda state: state.attempt_number == 2,
}


def happened() -> threading.Event:
    """An event that is set."""
    event = threading.Event()
    event.set()
    return event


@pytest.mark.parametrize("name", STOPS)
def test_stop_strategies_stop_at_the_same_attempt(name: str) -> None:
    """A call that keeps failing ends after as many attempts, in the same error."""

    def scenario(lib: Any) -> Any:
        return trail(lib, OOPS, stop=STOPS[name](lib), wait=lib.wait_fixed(2))

    assert scenario(shim) == scenario(tenacity)


WAITS: dict[str, Scenario] = {
    "none": lambda lib: lib.wait_none(),
    "zero": lambda lib: 0,
    "fixed": lambda lib: lib.wait_fixed(1.5),
    "span": lambda lib: lib.wait_fixed(timedelta(milliseconds=250)),
    "incrementing": lambda lib: lib.wait_incrementing(start=1, increment=2, max=6),
    "decrementing": lambda lib: lib.wait_incrementing(start=3, increment=-1),
    "exponential": lambda lib: lib.wait_exponential(multiplier=0.5, max=5, min=1),
    "exponential_base": lambda lib: lib.wait_exponential(exp_base=3),
    "exponential_none": lambda lib: lib.wait_exponential(multiplier=0, min=2),
    "sum": lambda lib: lib.wait_fixed(1) + lib.wait_exponential(),
    "sum_function": lambda lib: lib.wait_fixed(1) + (lambda state: state.attempt_number),
    "sum_of_list": lambda lib: sum([lib.wait_fixed(1), lib.wait_fixed(2), lib.wait_fixed(3)]),
    "combine": lambda lib: lib.wait_combine(lib.wait_fixed(1), lib.wait_fixed(0.5)),
    "chain": lambda lib: lib.wait_chain(*[lib.wait_fixed(n) for n in (1, 1, 2, 5)]),
    "exception": lambda lib: lib.wait_exception(lambda error: len(str(error))),
    "jitter_none": lambda lib: lib.wait_exponential_jitter(multiplier=2, jitter=0, max=10),
    "random_point": lambda lib: lib.wait_random(2, 2),
    "function": lambda lib: lambda state: state.attempt_number * 0.1,
}


@pytest.mark.parametrize("name", WAITS)
def test_wait_strategies_wait_as_long(name: str) -> None:
    """Seven failures give the same six waits, and the same sum of them."""

    def scenario(lib: Any) -> Any:
        return trail(lib, OOPS, stop=lib.stop_after_attempt(7), wait=WAITS[name](lib))

    assert scenario(shim) == scenario(tenacity)


@pytest.mark.parametrize("attempt", [1, 2, 10, 1_000, 5_000])
@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.wait_exponential(max=30),
        lambda lib: lib.wait_exponential(),
        lambda lib: lib.wait_exponential_jitter(jitter=0, max=30),
        lambda lib: lib.wait_exponential_jitter(jitter=0),
    ],
)
def test_exponential_waits_never_overflow(make: Scenario, attempt: int) -> None:
    """However many attempts there were, the wait is the cap and not an error."""

    def scenario(lib: Any) -> float:
        state = lib.RetryCallState(None, None, (), {})
        state.attempt_number = attempt
        return float(make(lib)(state))

    assert scenario(shim) == scenario(tenacity)


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda lib: lib.wait_random(1, 3), 1, 3),
        (lambda lib: lib.wait_random_exponential(multiplier=2, max=9), 0, 8),
        (lambda lib: lib.wait_full_jitter(max=3), 0, 3),
        (lambda lib: lib.wait_random_exponential(multiplier=2, min=1, max=9), 1, 8),
        (lambda lib: lib.wait_exponential_jitter(max=60, jitter=2), 4, 6),
    ],
)
def test_random_waits_keep_to_the_same_bounds(make: Scenario, low: float, high: float) -> None:
    """Before the fourth attempt; both libraries' draws lie within and reach towards both ends."""
    for lib in (tenacity, shim):
        state = lib.RetryCallState(None, None, (), {})
        state.attempt_number = 3
        drawn = [make(lib)(state) for _ in range(400)]
        width = high - low
        assert low <= min(drawn) < low + 0.1 * width
        assert high - 0.1 * width < max(drawn) <= high


class Temporary(Exception):  # noqa: N818 - as programs name theirs
    """A subclass to be matched by its parent."""


def caused(cause: Exception) -> Exception:
    """An error raised from another."""
    error = RuntimeError("outer")
    error.__cause__ = cause
    return error


RETRIES: dict[str, tuple[Scenario, tuple[Any, ...]]] = {
    "type": (lambda lib: lib.retry_if_exception_type(OSError), (OSError("a"), OOPS)),
    "types": (
        lambda lib: lib.retry_if_exception_type((OSError, ValueError)),
        (OOPS, KeyError("k")),
    ),
    "subclass": (lambda lib: lib.retry_if_exception_type(Exception), (Temporary("t"), 7)),
    "not_type": (lambda lib: lib.retry_if_not_exception_type(OSError), (OOPS, OSError("a"))),
    "unless": (lambda lib: lib.retry_unless_exception_type(OSError), (1, OOPS, OSError("a"))),
    "exception": (lambda lib: lib.retry_if_exception(lambda e: "o" in str(e)), (OOPS, KeyError(1))),
    "message": (lambda lib: lib.retry_if_exception_message(message="oops"), (OOPS, KeyError(1))),
    "match": (lambda lib: lib.retry_if_exception_message(match="o+p"), (OOPS, KeyError(1))),
    "not_message": (
        lambda lib: lib.retry_if_not_exception_message(match="o"),
        (1, KeyError(1), OOPS),
    ),
    "cause": (lambda lib: lib.retry_if_exception_cause_type(OSError), (caused(OSError()), OOPS)),
    "result": (lambda lib: lib.retry_if_result(lambda r: r is None), (None, None, 3)),
    "result_raises": (lambda lib: lib.retry_if_result(lambda r: r is None), (None, OOPS)),
    "not_result": (lambda lib: lib.retry_if_not_result(lambda r: r == 3), (1, 2, 3)),
    "never": (lambda lib: lib.retry_never, (OOPS,)),
    "always": (lambda lib: lib.retry_always, (1, OOPS)),
    "or": (
        lambda lib: lib.retry_if_exception_type(OSError) | lib.retry_if_result(lambda r: not r),
        (OSError("a"), 0, 5),
    ),
    "and": (
        lambda lib: (
            lib.retry_if_exception_type(ValueError) & lib.retry_if_exception_message(match="oops")
        ),
        (OOPS, ValueError("else")),
    ),
    "or_function": (
        lambda lib: lib.retry_if_exception_type(OSError) | (lambda state: not state.outcome.failed),
        (1, OSError("a"), OOPS),
    ),
    "function_and": (
        lambda lib: (lambda state: state.attempt_number < 3) & lib.retry_if_exception_type(),
        (OOPS,),
    ),
    "any": (lambda lib: lib.retry_any(lib.retry_never, lib.retry_always), (1,)),
    "all": (lambda lib: lib.retry_all(lib.retry_always, lib.retry_if_exception_type()), (OOPS, 2)),
    "try_again": (lambda lib: lib.retry_never, (None,)),
}


@pytest.mark.parametrize("name", RETRIES)
@pytest.mark.parametrize("reraise", [False, True])
def test_retry_strategies_want_the_same_outcomes(name: str, reraise: bool) -> None:  # noqa: FBT001 - both ways
    """Errors and answers alike: as many attempts, and the same end."""
    make, steps = RETRIES[name]

    def scenario(lib: Any) -> Any:
        return trail(lib, *steps, stop=lib.stop_after_attempt(5), retry=make(lib), reraise=reraise)

    assert scenario(shim) == scenario(tenacity)


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


def async_trail(lib: Any, aio: Any, *steps: Any, **settings: Any) -> Any:
    """`trail` for a coroutine function."""
    plan = Plan(*steps)
    waits: list[float] = []

    async def nap(seconds: float) -> None:
        waits.append(float(seconds))
        await asyncio.sleep(0)

    @lib.retry(sleep=nap, **settings)
    async def ask() -> Any:
        await asyncio.sleep(0)
        return plan()

    assert asyncio.iscoroutinefunction(ask)
    assert isinstance(ask.retry, aio.AsyncRetrying)

    async def main() -> Any:
        try:
            return await ask()
        except Exception as error:  # noqa: BLE001 - the error is what is compared
            return described(error)

    return asyncio.run(main()), plan.calls, waits, ask.statistics["attempt_number"]


PAIRS = ((shim, shim_asyncio), (tenacity, tenacity.asyncio))


@pytest.mark.parametrize("steps", [(OOPS,), (OOPS, 4), (None, None, 4), (KeyError("k"), OOPS)])
def test_async_functions_are_retried_alike(steps: tuple[Any, ...]) -> None:
    """Async sleep, async callbacks, and the strategies of both kinds combined."""

    def scenario(lib: Any, aio: Any) -> Any:
        told: list[Any] = []

        async def before(state: Any) -> None:
            await asyncio.sleep(0)
            told.append(("before", state.attempt_number))

        async def is_none(result: Any) -> bool:
            await asyncio.sleep(0)
            return result is None

        async def is_value_error(error: BaseException) -> bool:
            return isinstance(error, ValueError)

        wanted = aio.retry_if_result(is_none) | aio.retry_if_exception(is_value_error)
        mixed = lib.retry_if_exception_type(KeyError) | wanted
        both = wanted & lib.retry_if_exception_type(ValueError)
        found = [
            async_trail(
                lib,
                aio,
                *steps,
                stop=lib.stop_after_attempt(3),
                wait=lib.wait_fixed(1),
                retry=strategy,
                before=before,
                after=lambda state: told.append(("after", state.attempt_number)),
            )
            for strategy in (wanted, mixed, both, aio.retry_any(wanted), aio.retry_all(both))
        ]
        return found, told

    ours, theirs = (scenario(*pair) for pair in PAIRS)
    assert ours == theirs


def test_async_blocks_go_on_as_long() -> None:
    """`async for attempt in AsyncRetrying(...)`, with `with` and with `async with`."""

    def scenario(lib: Any, aio: Any, *steps: Any) -> Any:
        plan, waits = Plan(*steps), []

        async def nap(seconds: float) -> None:
            waits.append(float(seconds))

        async def loop() -> Any:
            retrying = aio.AsyncRetrying(
                stop=lib.stop_after_attempt(3), wait=lib.wait_fixed(2), sleep=nap
            )
            answer = None
            try:
                async for attempt in retrying:
                    async with attempt:
                        answer = plan()
            except lib.RetryError as error:
                return described(error)
            return answer

        return asyncio.run(loop()), plan.calls, waits

    for steps in ((OOPS, 5), (OOPS,), (5,)):
        ours, theirs = (scenario(*pair, *steps) for pair in PAIRS)
        assert ours == theirs


def test_async_objects_call_functions_of_both_kinds() -> None:
    """Coroutine functions, plain ones, partials and callable objects; enabled and not."""

    def scenario(lib: Any, aio: Any) -> Any:
        class Asking:
            async def __call__(self) -> Any:
                return plan()

        async def ask(number: int = 0) -> Any:
            del number
            return plan()

        async def nap(seconds: float) -> None:
            waits.append(float(seconds))

        def plain() -> Any:
            return plan()

        def run(retrying: Any, fn: Any) -> Any:
            return asyncio.run(retrying(fn))

        plan = Plan(OOPS)
        waits: list[float] = []
        ends: list[Any] = []
        for fn in (ask, functools.partial(ask, 3), Asking(), plain):
            for enabled in (True, False):
                retrying = aio.AsyncRetrying(
                    sleep=nap, stop=lib.stop_after_attempt(2), reraise=True, enabled=enabled
                )
                ends.append(outcome(functools.partial(run, retrying, fn)))
        decorated = lib.retry(enabled=False)(ask)
        ends.append(outcome(lambda: asyncio.run(decorated())))
        sleeping = lib.retry(sleep=nap, stop=lib.stop_after_attempt(2))(plain)
        ends.append(outcome(lambda: asyncio.run(sleeping())))
        return ends, plan.calls, waits

    ours, theirs = (scenario(*pair) for pair in PAIRS)
    assert ours == theirs


def test_a_disabled_async_block_runs_once() -> None:
    """It raises what its one attempt raised, or goes on."""

    def scenario(lib: Any, aio: Any, step: Any) -> Any:
        plan = Plan(step)

        async def loop() -> Any:
            answer = None
            async for attempt in aio.AsyncRetrying(enabled=False):
                with attempt:
                    answer = plan()
            return answer

        return outcome(lambda: asyncio.run(loop())), plan.calls

    for step in (OOPS, 5):
        ours, theirs = (scenario(*pair, step) for pair in PAIRS)
        assert ours == theirs


def test_async_blocks_and_callbacks_share_the_end() -> None:
    """`retry_error_callback` ends an async call with its answer, awaited or not."""

    def scenario(lib: Any, aio: Any) -> Any:
        async def answer(state: Any) -> str:
            return f"after {state.attempt_number}"

        return [
            async_trail(
                lib, aio, OOPS, stop=lib.stop_after_attempt(2), retry_error_callback=callback
            )
            for callback in (answer, lambda state: state.attempt_number)
        ]

    ours, theirs = (scenario(*pair) for pair in PAIRS)
    assert ours == theirs


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


MISUSES: dict[str, Scenario] = {
    "wait_chain": lambda lib: lib.wait_chain(),
    "wait_exception": lambda lib: lib.wait_exception(len)(lib.RetryCallState(None, None, (), {})),
    "stop_after_delay": lambda lib: lib.stop_after_delay(1)(lib.RetryCallState(None, None, (), {})),
    "retry_if_result": lambda lib: lib.retry_if_result(bool)(
        lib.RetryCallState(None, None, (), {})
    ),
    "message_and_match": lambda lib: lib.retry_if_exception_message("a", "b"),
    "no_message": lambda lib: lib.retry_if_exception_message(),
    "two_names": lambda lib: lib.wait_exponential_jitter(initial=2, multiplier=3),
    "number_and_wait": lambda lib: 1 + lib.wait_fixed(1),
    "log_too_early": lambda lib: lib.before_sleep_log(logging.getLogger(), 1)(
        lib.RetryCallState(None, None, (), {})
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_the_same_kind_of_error(name: str) -> None:
    """Its class; what it says is our own."""
    ends = [outcome(functools.partial(MISUSES[name], lib)) for lib in (shim, tenacity)]
    assert ends[0][0] == ends[1][0]
    assert ends[0][0].endswith("Error")


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
