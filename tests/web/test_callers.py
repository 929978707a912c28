"""Callers are told apart by token, by address, and by the service they name."""

import pytest
from starlette.requests import Request

from breakwater.web import CALLER, caller_of


@pytest.mark.parametrize(
    ("scope", "headers", "name"),
    [
        ({"client": ("10.0.0.1", 5)}, [], "10.0.0.1"),
        ({"client": ("10.0.0.1", 5), CALLER: "ci"}, [], "ci"),
        ({"client": ("10.0.0.1", 5), CALLER: ""}, [], "10.0.0.1"),
        ({"client": ("10.0.0.1", 5)}, [(b"breakwater-caller", b"www")], "10.0.0.1 www"),
        ({}, [], ""),
        ({}, [(b"breakwater-caller", b"x" * 500)], " " + "x" * 80),
    ],
)
def test_who_asks(scope: dict[str, object], headers: list[tuple[bytes, bytes]], name: str) -> None:
    """A token goes before an address, and what is named is cut at 80 characters."""
    request = Request({"type": "http", "headers": headers, **scope})
    assert caller_of(request) == name
