"""Parameters of a query: read as what they are, or refused by name with what is allowed."""

import pytest
from starlette.requests import Request

from breakwater.web import UnusableParameterError, flag, number, whole_number


def asking(query: str) -> Request:
    """A request with this behind the question mark."""
    return Request({"type": "http", "headers": [], "query_string": query.encode()})


@pytest.mark.parametrize("query", ["", "n=", "other=1"])
def test_without_a_value_there_is_the_default(query: str) -> None:
    """A parameter that is left out and one that is left empty are the same."""
    assert whole_number(asking(query), "n", 7) == 7
    assert whole_number(asking(query), "n", None) is None
    assert number(asking(query), "n", 0.5) == 0.5
    assert not flag(asking(query), "n")


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-12", -12), ("9" * 18, 10**18 - 1)])
def test_whole_numbers(text: str, value: int) -> None:
    """Of either sign, with up to 18 digits."""
    assert whole_number(asking(f"n={text}"), "n", 0) == value


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "%C2%B2", "1_0", "+1", "9" * 19, "9" * 5000])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    """Digits of ASCII count and nothing else; a long text is cut in the message."""
    with pytest.raises(UnusableParameterError, match=r"parameter 'n' is '.{1,40}', must be a w"):
        whole_number(asking(f"n={text}"), "n", 0)


@pytest.mark.parametrize(
    ("text", "is_allowed"), [("0", False), ("1", True), ("60", True), ("61", False)]
)
def test_bounds_belong_to_what_is_allowed(text: str, *, is_allowed: bool) -> None:
    """Both ends are allowed, and are told when a number lies beyond."""
    request = asking(f"n={text}")
    if is_allowed:
        assert whole_number(request, "n", 0, lowest=1, highest=60) == int(text)
    else:
        with pytest.raises(UnusableParameterError, match=r"must be a whole number from 1 to 60$"):
            whole_number(request, "n", 0, lowest=1, highest=60)


@pytest.mark.parametrize(
    ("text", "value"), [("20", 20.0), ("0.25", 0.25), ("-1.", -1.0), ("1E-5", 1e-5)]
)
def test_numbers(text: str, value: float) -> None:
    """With a point or an exponent, or without."""
    assert number(asking(f"n={text}"), "n", 0.0) == value


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-1", "1e300", "0x1"])
def test_what_is_no_number_or_out_of_bounds_is_refused(text: str) -> None:
    """Neither nothing nor without end."""
    with pytest.raises(UnusableParameterError, match=f"'{text}', must be a number from 0$"):
        number(asking(f"n={text}"), "n", 0.0, lowest=0)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("False", False), ("0", False)]
)
def test_flags(text: str, *, value: bool) -> None:
    """In words or digits, in any case."""
    assert flag(asking(f"n={text}"), "n") is value


def test_a_flag_is_not_guessed() -> None:
    """Anything else is refused."""
    with pytest.raises(UnusableParameterError, match="'n' is 'maybe', must be true or false"):
        flag(asking("n=maybe"), "n")
