"""What errors of any library say about coming again."""

from datetime import timedelta
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.sdk import CallRefusedError
from breakwater.sdk.guard.retrying.pushback import PushBack, parse_retry_after, push_back_of

NOW_MS = 1_700_000_000_000


class LibraryError(Exception):
    """An error with whatever attributes its library gives it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("failed")
        vars(self).update(attributes)


def headers(**fields: str) -> dict[str, str]:
    """Headers by name with underscores."""
    return {name.replace("_", "-"): value for name, value in fields.items()}


def grpc(value: str | bytes) -> LibraryError:
    """A gRPC error whose trailing metadata ask for a pause."""
    trailers = (("x", "y"), ("grpc-retry-pushback-ms", value))
    return LibraryError(trailing_metadata=lambda: trailers)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LibraryError(), None),
        (LibraryError(retry_after_s=0.25), PushBack(0.25)),
        (LibraryError(retry_after_s=-3), PushBack(0.0)),
        (LibraryError(retry_after=timedelta(seconds=2)), PushBack(2.0)),
        (LibraryError(retry_after="7"), PushBack(7.0)),
        (LibraryError(retry_after=True), None),
        (LibraryError(retry_after_s=float("nan")), None),
        (LibraryError(headers=headers(retry_after="3")), PushBack(3.0)),
        (LibraryError(headers=headers(retry_after_ms="150")), PushBack(0.15)),
        (LibraryError(headers={"Retry-After": "soon"}), None),
        (LibraryError(headers=["retry-after"]), None),
        (LibraryError(response=SimpleNamespace(headers=headers(retry_after="4"))), PushBack(4.0)),
        (CallRefusedError("rate_limited", "x", "", 5, 1.5), PushBack(1.5)),
        (grpc("120"), PushBack(0.12, is_exact=True)),
        (grpc(b"0"), PushBack(0.0, is_exact=True)),
        (grpc("-1"), PushBack(None, is_exact=True)),
        (grpc("later"), PushBack(None, is_exact=True)),
        (grpc(b"\xff"), PushBack(None, is_exact=True)),
        (LibraryError(trailing_metadata=None), None),
        (None, None),
    ],
)
def test_push_back_is_found_where_libraries_put_it(
    error: BaseException | None, expected: PushBack | None
) -> None:
    """Attributes, headers, the response's headers, gRPC trailers; unreadable gRPC means no."""
    assert push_back_of(error, NOW_MS) == expected


def test_an_http_date_is_read_against_the_wall_clock() -> None:
    """A date ten seconds ahead means ten seconds, one in the past none."""
    ahead = formatdate(NOW_MS / 1000 + 10, usegmt=True)
    past = formatdate(NOW_MS / 1000 - 10, usegmt=True)
    assert parse_retry_after(ahead, NOW_MS) == 10.0
    assert parse_retry_after(past, NOW_MS) == 0.0
    assert parse_retry_after(ahead.removesuffix(" GMT"), NOW_MS) == 10.0


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_no_text_of_a_callee_breaks_a_call(text: str) -> None:
    """Whatever a callee writes is a bounded number of seconds or nothing."""
    seconds = parse_retry_after(text, NOW_MS)
    assert seconds is None or 0 <= seconds <= 7 * 86_400
    found = push_back_of(grpc(text), NOW_MS)
    assert found is not None
    assert found.is_exact


@pytest.mark.parametrize("trailers", ["abc", [("a",)], [1], 5, {"retry": "later"}])
def test_trailers_of_another_shape_say_nothing(trailers: object) -> None:
    """Reading an error of an unknown library must not replace it by one of ours."""
    error = ValueError()
    error.trailing_metadata = trailers  # type: ignore[attr-defined] # as some library has it
    assert push_back_of(error, 0) is None
