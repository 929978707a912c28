"""Django under guard, as WSGI and as ASGI application, under real servers."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import django
import pytest
import requests
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path
from tests.sdk.fleet import PATIENCE_S, MeterListener, serving, wsgi_serving

from breakwater.sdk import CallRefusedError, Service, remaining_s

URLS = "breakwater_test_urls"


def title(_request: HttpRequest, number: int) -> JsonResponse:
    """A sync view."""
    left_s = remaining_s()
    return JsonResponse({"number": number, "left": left_s is not None and left_s > 0})


async def title_later(_request: HttpRequest, number: int) -> JsonResponse:
    """An async view."""
    left_s = remaining_s()
    return JsonResponse({"number": number, "left": left_s is not None and left_s > 0})


def year(_request: HttpRequest, year: str) -> HttpResponse:
    """A view of a regular expression."""
    return HttpResponse(year)


def refused(_request: HttpRequest) -> HttpResponse:
    """A view whose dependency is out of reach."""
    raise CallRefusedError("breaker_open", "account", "", None, 1.5)


@pytest.fixture(scope="module", autouse=True)
def _configured() -> None:
    """Django allows one configuration in a process."""
    urls = ModuleType(URLS)
    urls.urlpatterns = [  # type: ignore[attr-defined] # what Django looks for
        path("v1/titles/<int:number>/", title),
        path("v1/later/<int:number>/", title_later),
        re_path(r"^years/(?P<year>[0-9]{4})/$", year),
        path("refused", refused),
    ]
    sys.modules[URLS] = urls
    settings.configure(
        ROOT_URLCONF=URLS,
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=["breakwater.sdk.django.RouteMiddleware"],
        SECRET_KEY="of no importance",
        LOGGING_CONFIG=None,
    )
    django.setup()


@pytest.fixture(params=["wsgi", "asgi"])
def url(request: pytest.FixtureRequest, service_of: Callable[..., Service]) -> Iterator[str]:
    """Where the application is served, by either kind of server."""
    from breakwater.sdk.django import guarded_asgi, guarded_wsgi  # noqa: PLC0415 - after settings

    service = service_of("catalogue", url="none")
    if request.param == "asgi":
        with serving(guarded_asgi(service)) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        with service, wsgi_serving(guarded_wsgi(service)) as found:
            yield found


@pytest.mark.parametrize(
    ("asked", "endpoint"),
    [
        ("v1/titles/7/", "v1.titles.~number"),
        ("v1/later/7/", "v1.later.~number"),
        ("years/2024/", "years.~year"),
    ],
)
def test_requests_are_recorded_under_their_patterns(
    url: str, meters: MeterListener, asked: str, endpoint: str
) -> None:
    """Of either kind; views, sync and async, work in the context of the caller."""
    headers = {"breakwater-caller": "gateway", "breakwater-deadline-ms": "5000"}
    reply = requests.get(f"{url}/{asked}", headers=headers, timeout=PATIENCE_S)
    assert reply.text in ("2024", '{"number": 7, "left": true}')
    line = meters.wait_for("ipc.server.call", "ipc.client.app=gateway")
    assert f"ipc.endpoint={endpoint}," in line


def test_refusals_that_no_view_caught_are_answered(url: str, meters: MeterListener) -> None:
    """503 with Retry-After, not 500."""
    reply = requests.get(f"{url}/refused", timeout=PATIENCE_S)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    meters.wait_for("ipc.endpoint=refused", "ipc.status=unavailable")
