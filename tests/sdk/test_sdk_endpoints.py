"""Endpoint names: few, whatever the paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import sanitize
from breakwater.sdk.endpoints import OTHER, Endpoints, RequestNames, shape_of, template_name


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/", "root"),
        ("", "root"),
        ("/v1/profiles/7", "v1.profiles.~"),
        ("/v1/profiles/7f3a/lists?x=1", "v1.profiles.~.lists"),
        ("/v1/titles/0af7651916cd43dd8448eb211c80319c", "v1.titles.~"),
        ("/segments/t1/720p/00012.m4s", "segments.~.~.~"),
        ("/healthcheck", "healthcheck"),
        ("/a b/%20", "~.~"),
        ("/" + "/".join("abcdefghijkl"), "a.b.c.d.e.f.g.h"),
    ],
)
def test_what_may_be_an_identifier_is_left_out(path: str, shape: str) -> None:
    """Words stay, everything else is `~`, and only so many segments count."""
    assert shape_of(path) == shape


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("/v1/profiles/{id}", "v1.profiles.~id"),
        ("/files/{rest:path}", "files.~rest"),
        ("/", "root"),
    ],
)
def test_a_route_template_names_its_endpoint(template: str, name: str) -> None:
    """The names of parameters stay readable."""
    assert template_name(template) == name


class Route:
    """What a framework leaves in the scope."""

    def __init__(self, path: str) -> None:
        self.path = path


def test_a_template_is_known_before_routing_from_its_second_request_on() -> None:
    """Faults are scoped by the name that records carry."""
    names = RequestNames(Endpoints(), None)
    first = {"path": "/v1/titles/abc/parts/1/2"}
    assert names.before(first) == OTHER
    routed = {**first, "route": Route("/v1/titles/{id}/parts/{rest:path}")}
    assert names.after(routed, 200) == "v1.titles.~id.parts.~rest"
    assert names.before({"path": "/v1/titles/xyz/parts/3"}) == "v1.titles.~id.parts.~rest"
    assert names.before({"path": "/v1/titles/x/y/parts/3"}) == OTHER
    unrouted = {"path": "/v1/titles/xyz/parts/3"}
    assert names.after(unrouted, 503) == "v1.titles.~id.parts.~rest"


def test_a_path_that_was_not_found_teaches_nothing() -> None:
    """Else a scanner would use up the room."""
    names = RequestNames(Endpoints(), None)
    assert names.after({"path": "/admin"}, 404) == OTHER
    assert names.after({"path": "/real"}, 200) == "real"
    assert names.after({"path": "/real"}, 404) == "real"


def test_a_naming_that_raises_does_not_fail_the_request() -> None:
    """It is counted, and the endpoint is `other`."""
    names = RequestNames(Endpoints(), lambda scope: str(scope["nothing of the kind"]))
    assert names.before({"path": "/x"}) == OTHER
    assert names.failures == 1


@given(st.text())
def test_every_shape_is_a_legal_tag_value(path: str) -> None:
    """No path can break a meter line."""
    shape = shape_of(path)
    assert sanitize(shape) == shape
    assert shape


def test_the_number_of_shapes_is_bounded() -> None:
    """A scanner that tries every word gets one series, not thousands."""
    endpoints = Endpoints(limit=3)
    names = {endpoints.name(f"/{word}") for word in ("a", "b", "c", "d", "e")}
    assert names == {"a", "b", "c", OTHER}
    assert endpoints.name("/a") == "a"
    assert endpoints.peek("/b") == "b"
    assert endpoints.peek("/zzz") == OTHER
