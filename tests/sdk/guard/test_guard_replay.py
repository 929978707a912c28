"""Errors that several callers share."""

import traceback
from types import TracebackType
from typing import Self

import pytest

from breakwater.model import Status
from breakwater.sdk import CallFailedError, CallRefusedError, DeadlineExceededError
from breakwater.sdk.guard.sharing.replay import replay


class PickyError(Exception):
    """Its parameters are not the arguments it keeps."""

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"failed with {code}")
        self.code = code
        self.hint = hint


class DiskError(OSError):
    """An OSError with a parameter of its own."""

    def __init__(self, disk: str) -> None:
        super().__init__(5, "broken", disk)


class StubbornError(Exception):
    """Cannot be made without its parameter."""

    def __new__(cls, *, secret: str) -> Self:
        return super().__new__(cls, secret)

    def __init__(self, *, secret: str) -> None:
        super().__init__(secret)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 1),
        PickyError(7, hint="h"),
        FileNotFoundError(2, "none", "name"),
        DiskError("sda"),
        KeyError("k"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("two", [ValueError(), KeyError()]),
        CallFailedError(Status.UNAVAILABLE, service="a", code=503, body=b"no"),
        CallRefusedError("breaker_open", "a", "", None, 2.0),
        DeadlineExceededError(service="a"),
    ],
)
def test_a_copy_says_what_the_original_says(error: Exception) -> None:
    """Same class, message, arguments and attributes; another object."""
    made = replay(error)
    assert made is not error
    assert type(made) is type(error)
    assert str(made) == str(error)
    assert made.args == error.args
    assert made.__dict__ == error.__dict__
    if isinstance(error, OSError):
        assert isinstance(made, OSError)
        assert (made.errno, made.filename) == (error.errno, error.filename)


def depth(trace: TracebackType | None) -> int:
    """Frames of a traceback."""
    return len(traceback.extract_tb(trace))


def test_tracebacks_do_not_grow() -> None:
    """However often an outcome is raised, each traceback is that of the first and its own."""
    with pytest.raises(ValueError, match="x") as first:
        raise ValueError("x") from KeyError("why")
    stored = replay(first.value)
    before = depth(stored.__traceback__)
    depths = set()
    for _ in range(50):
        with pytest.raises(ValueError, match="x") as raised:
            raise replay(stored)
        depths.add(depth(raised.value.__traceback__))
        assert isinstance(raised.value.__cause__, KeyError)
    assert len(depths) == 1
    assert before == depth(stored.__traceback__) == depth(first.value.__traceback__)
    assert depths.pop() > before


def test_what_cannot_be_copied_is_shared() -> None:
    """Better the same object than another error."""
    error = StubbornError(secret="s")
    assert replay(error) is error
