"""What a type checker sees of functions decorated by the shims; the checks are the checker's."""

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

from breakwater.sdk.shims.pybreaker import CircuitBreaker
from breakwater.sdk.shims.tenacity import retry, stop_after_attempt


@retry
def bare(number: int, *, unit: str = "") -> str:
    """Decorated without arguments."""
    return f"{number}{unit}"


@retry(stop=stop_after_attempt(2))
async def waiting(number: int) -> int:
    """An async function."""
    return number


class Client:
    """A method is bound to its instance."""

    @retry()
    def ask(self, number: int) -> float:
        """Decorated with none."""
        return number / 2


breaker = CircuitBreaker()


@breaker
def guarded(number: int) -> bytes:
    """Decorated by the breaker."""
    return bytes(number)


@breaker()
async def guarded_waiting(number: int) -> int:
    """An async function."""
    return number


def test_decorated_functions_keep_their_signatures() -> None:
    """Arguments and results are those of the function, for calls and for methods."""
    assert_type(bare(1, unit="s"), str)
    assert_type(Client().ask(3), float)
    assert_type(guarded(1), bytes)
    assert_type(breaker.call(guarded, 1), bytes)
    work = assert_type(waiting(2), Coroutine[Any, Any, int])
    assert asyncio.run(work) == 2
    guarded_work = assert_type(guarded_waiting(3), Coroutine[Any, Any, int])
    assert asyncio.run(guarded_work) == 3
    assert_type(bare.statistics, dict[str, Any])
