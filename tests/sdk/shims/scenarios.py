"""What the parity tests share: a function that fails by plan, and a record of all that happens."""
# mypy: disable-error-code="untyped-decorator"
# Either library is the same `lib: Any` here, so what it decorates has no type.

from collections.abc import Callable
from typing import Any

Scenario = Callable[[Any], Any]
OOPS = ValueError("oops")


class Plan:
    """Gives or raises its steps in turn, the last one for ever; counts its calls."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self.calls = 0

    def __call__(self) -> Any:
        step = self.steps[min(self.calls, len(self.steps) - 1)]
        self.calls += 1
        if isinstance(step, BaseException):
            raise step
        return step


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error as class, message and cause."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the error is what is compared
        return described(error)


def described(error: BaseException) -> tuple[str, ...]:
    """An error so that two libraries' can be compared: theirs name an outcome by its address."""
    cause = "" if error.__cause__ is None else repr(error.__cause__)
    message = str(error).split("0x")[0]
    return type(error).__name__, message, cause


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
