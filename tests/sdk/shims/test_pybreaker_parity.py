"""The same program against pybreaker and against the shim: all that it can observe is compared."""
# mypy: disable-error-code="untyped-decorator"
# Either library is the same `lib: Any` here, so what it decorates has no type.

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pybreaker
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.shims.scenarios import outcome

from breakwater.sdk.shims import pybreaker as shim

LIBRARIES = (shim, pybreaker)
OOPS = ValueError("oops")


def listening(lib: Any, told: list[Any]) -> Any:
    """A listener that notes all it is told."""

    class Listener(lib.CircuitBreakerListener):  # type: ignore[misc] # of either library
        def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
            told.append(("before", cb.current_state, args, kwargs))

        def failure(self, cb: Any, exc: BaseException) -> None:
            told.append(("failure", cb.name, repr(exc), cb.fail_counter, cb.current_state))

        def success(self, cb: Any) -> None:
            told.append(("success", cb.fail_counter, cb.current_state))

        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            told.append(("state", old_state and old_state.name, new_state.name))

    return Listener()


class Bench:
    """One breaker of a library, a callee that does as told, and the record of it all."""

    def __init__(self, lib: Any, **settings: Any) -> None:
        self.lib = lib
        self.told: list[Any] = []
        self.reached = 0
        listeners = [listening(lib, self.told)]
        self.breaker = lib.CircuitBreaker(listeners=listeners, name="bench", **settings)

    def call(self, error: BaseException | None = None, answer: int = 5) -> None:
        """One call, and where everything stands after it."""

        def ask(number: int, *, unit: str = "") -> Any:
            del unit
            self.reached += 1
            if error is not None:
                raise error
            return number

        self.note(outcome(lambda: self.breaker.call(ask, answer, unit="s")))

    def note(self, what: Any) -> None:
        """What happened, and where everything stands after it."""
        made = self.breaker
        if isinstance(what, tuple):
            what = what[:2]  # the cause is set by the shim only
        self.told.append(
            (
                what,
                self.reached,
                made.current_state,
                made.state.name,
                made.fail_counter,
                made.success_counter,
            )
        )


def same(play: Callable[[Bench], None], **settings: Any) -> list[Any]:
    """Play it on both; the records must be equal."""
    records = []
    for lib in LIBRARIES:
        bench = Bench(lib, **settings)
        play(bench)
        records.append(bench.told)
    assert records[0] == records[1]
    return records[0]


def fails(bench: Bench, times: int) -> None:
    """So many failed calls."""
    for _ in range(times):
        bench.call(OOPS)


@pytest.mark.parametrize("throws", [True, False])
@pytest.mark.parametrize("fail_max", [1, 3])
def test_it_opens_after_as_many_failures(fail_max: int, throws: bool) -> None:  # noqa: FBT001 - both ways
    """The call that opens it, those refused after it, and every event in between."""

    def play(bench: Bench) -> None:
        bench.call()
        fails(bench, fail_max - 1)
        bench.call()
        fails(bench, fail_max + 2)
        bench.call()

    record = same(play, fail_max=fail_max, throw_new_error_on_trip=throws)
    assert ("state", "closed", "open") in record


@pytest.mark.parametrize("threshold", [1, 2, 3])
@pytest.mark.parametrize("good", [0, 1, 2, 3, 4])
def test_it_closes_after_as_many_good_trials(threshold: int, good: int) -> None:
    """Trial calls one after another: so many successes close it, the first failure opens it."""

    def play(bench: Bench) -> None:
        fails(bench, 2)
        for _ in range(good):
            bench.call()
        fails(bench, 3)
        bench.call()

    same(play, fail_max=2, reset_timeout=0, success_threshold=threshold)


@pytest.mark.parametrize(
    "excluded",
    [
        [ValueError],
        [Exception],
        [KeyError],
        [lambda error: "oops" in str(error)],
        [KeyError, ValueError],
    ],
)
def test_excluded_errors_count_as_successes(excluded: list[Any]) -> None:
    """Closed, and as a trial call; by class, parent class or predicate."""

    def play(bench: Bench) -> None:
        bench.call(TypeError("other"))
        fails(bench, 4)
        bench.call(TypeError("other"))
        bench.call(TypeError("other"))
        fails(bench, 1)

    same(play, fail_max=2, reset_timeout=0, exclude=excluded)


def test_orders_are_obeyed_from_every_state() -> None:
    """open(), half_open() and close(), twice too; what they give, and what listeners hear."""
    orders = ("open", "half_open", "close")

    def play(bench: Bench) -> None:
        for first in orders:
            for second in orders:
                for order in (first, second):
                    bench.note(getattr(bench.breaker, order)())
                bench.call()
                bench.call(OOPS)
                bench.breaker.close()

    same(play, fail_max=3, reset_timeout=60)


def test_settings_can_be_changed_while_it_runs() -> None:
    """fail_max keeps the failures counted so far; the others apply from the next decision on."""

    def play(bench: Bench) -> None:
        made = bench.breaker
        fails(bench, 2)
        made.fail_max = 3
        made.reset_timeout = 0
        made.success_threshold = 2
        bench.note((made.fail_max, made.reset_timeout, made.success_threshold))
        fails(bench, 1)
        bench.call()
        bench.call()
        fails(bench, 2)
        made.fail_max = 1
        fails(bench, 1)

    same(play, fail_max=5, reset_timeout=60)


def test_decorators_keep_what_they_decorate() -> None:
    """`@breaker` and `@breaker()`: name, docstring, arguments; a method finds its instance."""

    def play(bench: Bench) -> None:
        made = bench.breaker

        @made
        def ask(number: int, *, unit: str = "s") -> str:
            """Ask."""
            return f"{number}{unit}"

        class Client(tuple[()]):  # so that two of them are equal
            __slots__ = ()

            @made()
            def ask(self, number: int) -> int:
                raise KeyError(number)

        bench.note((ask.__name__, ask.__doc__))
        bench.note(ask(3, unit="m"))
        bench.note(outcome(lambda: Client().ask(4)))
        bench.note(outcome(lambda: Client().ask(4)))
        bench.note(outcome(lambda: ask(3)))

    same(play, fail_max=2)


def test_blocks_are_guarded() -> None:
    """`with breaker.calling():` counts, opens and refuses like a call."""

    def play(bench: Bench) -> None:
        def block(error: Exception | None) -> Any:
            with bench.breaker.calling():
                bench.reached += 1
                if error is not None:
                    raise error
            return "done"

        for error in (None, OOPS, KeyError("k"), None):
            bench.told = [entry for entry in bench.told if entry[0] != "before"]
            bench.note(outcome(partial(block, error)))

    def without_before(lib: Any) -> list[Any]:
        bench = Bench(lib, fail_max=2)
        play(bench)
        return [entry for entry in bench.told if entry[0] != "before"]

    assert without_before(shim) == without_before(pybreaker)


def test_generators_are_judged_when_they_end() -> None:
    """Values and sent values pass; the end or the error is the result."""

    def play(bench: Bench) -> None:
        def numbers(error: Exception | None) -> Iterator[Any]:
            got = yield 1
            yield got
            if error is not None:
                raise error

        def drawn(error: Exception | None) -> Any:
            stream = bench.breaker.call(numbers, error)
            return [next(stream), stream.send("sent"), *stream]

        bench.note(drawn(None))
        bench.note(outcome(lambda: drawn(OOPS)))
        bench.note(outcome(lambda: drawn(OOPS)))
        bench.note(outcome(lambda: drawn(None)))

    same(play, fail_max=2, throw_new_error_on_trip=False)


def test_listeners_and_exclusions_can_be_changed() -> None:
    """Added, removed, and shown as tuples; removing what is not there is a ValueError."""

    def play(bench: Bench) -> None:
        made, lib = bench.breaker, bench.lib
        other: list[Any] = []
        second = listening(lib, other)
        made.add_listeners(second)
        bench.note(len(made.listeners))
        fails(bench, 1)
        made.remove_listener(second)
        made.add_excluded_exception(KeyError)
        made.add_excluded_exceptions(ValueError, OSError)
        fails(bench, 2)
        made.remove_excluded_exception(ValueError)
        bench.note([kind.__name__ for kind in made.excluded_exceptions])
        fails(bench, 1)
        bench.note(len(other))
        bench.note(outcome(lambda: made.remove_listener(second))[0])
        bench.note(outcome(lambda: made.remove_excluded_exception(TypeError))[0])

    same(play, fail_max=2)


def test_breakers_may_share_their_state() -> None:
    """Two breakers given one storage open together, and a third may begin open."""

    def scenario(lib: Any) -> Any:
        storage = lib.CircuitMemoryStorage(lib.STATE_CLOSED)
        first = lib.CircuitBreaker(fail_max=2, state_storage=storage)
        second = lib.CircuitBreaker(fail_max=2, state_storage=storage)
        bench = Bench(lib)
        ends: list[Any] = []
        for made in (first, second, first):
            bench.breaker = made
            ends.append((outcome(partial(made.call, fail))[0], second.current_state))
        ends.append((storage.state, storage.counter, storage.name, storage.opened_at is None))
        later = lib.CircuitBreaker(state_storage=lib.CircuitMemoryStorage(lib.STATE_OPEN))
        ends.append((later.current_state, later.call(lambda: 5), later.current_state))
        half = lib.CircuitBreaker(state_storage=lib.CircuitMemoryStorage(lib.STATE_HALF_OPEN))
        ends.append((half.current_state, outcome(lambda: half.call(fail))[0], half.current_state))
        return ends

    def fail() -> None:
        raise OOPS

    assert scenario(shim) == scenario(pybreaker)


def test_an_unknown_state_is_refused() -> None:
    """With a ValueError that names those there are."""
    for lib in LIBRARIES:
        with pytest.raises(
            ValueError, match="Unknown state 'ajar', valid states: closed, open, half-open"
        ):
            lib.CircuitBreaker(state_storage=lib.CircuitMemoryStorage("ajar"))


STEPS = st.lists(
    st.sampled_from(["good", "bad", "excluded", "open", "half_open", "close"]), max_size=40
)


@pytest.mark.slow
@given(steps=STEPS, fail_max=st.integers(1, 4), threshold=st.integers(1, 3), throws=st.booleans())
def test_any_sequence_of_calls_and_orders_ends_alike(
    steps: list[str],
    fail_max: int,
    threshold: int,
    throws: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whatever one caller does, one call after another, both libraries tell the same story."""

    def play(bench: Bench) -> None:
        for step in steps:
            if step in ("good", "bad", "excluded"):
                bench.call({"good": None, "bad": OOPS, "excluded": KeyError("k")}[step])
            else:
                bench.note(getattr(bench.breaker, step)())

    same(
        play,
        fail_max=fail_max,
        success_threshold=threshold,
        reset_timeout=0,
        exclude=[KeyError],
        throw_new_error_on_trip=throws,
    )


def test_every_public_name_is_there() -> None:
    """What pybreaker exports, the shim does."""
    assert set(pybreaker.__all__) <= set(shim.__all__)
