"""The same coroutine functions against tenacity and against the shim."""
# mypy: disable-error-code="untyped-decorator"
# Either library is the same `lib: Any` here, so what it decorates has no type.

import asyncio
import functools
from typing import Any

import pytest
import tenacity
import tenacity.asyncio
from tests.sdk.shims.scenarios import OOPS, Plan, described, outcome

from breakwater.sdk.shims import tenacity as shim
from breakwater.sdk.shims.tenacity import asyncio as shim_asyncio


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
