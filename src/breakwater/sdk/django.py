"""Django under guard, as WSGI or as ASGI application.

    # wsgi.py                                            # asgi.py
    application = guarded_wsgi(service)                  application = guarded_asgi(service)

    # settings.py: the names of endpoints, and 503 or 504 for calls that a guard refused
    MIDDLEWARE = ["breakwater.sdk.django.RouteMiddleware", ...]

What `breakwater.sdk.wsgi` and `Service.asgi` do for any application. `RouteMiddleware` tells them
the pattern that Django chose (`v1/titles/<int:id>/` is `v1.titles.~id`); without it endpoints are
the shapes of paths.
"""

from typing import TYPE_CHECKING, Any, Unpack

from breakwater.sdk.needs import not_installed

try:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
except ModuleNotFoundError as error:
    raise not_installed(error, "django") from None

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from breakwater.sdk.door import Answer, EndpointOf, answer_of
from breakwater.sdk.errors import CallRefusedError, DeadlineExceededError
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.routes import Route, braces
from breakwater.sdk.wsgi import ROUTE, Middleware, Options, guarded_app

if TYPE_CHECKING:
    from breakwater.sdk.asgi import Middleware as AsgiMiddleware
    from breakwater.sdk.service import Service


def guarded_wsgi(service: "Service", app: Any = None, **options: Unpack[Options]) -> Middleware:
    """Django's WSGI application under guard; options as for `breakwater.sdk.wsgi.guarded_app`."""
    return guarded_app(service, app or get_wsgi_application(), **options)


def guarded_asgi(
    service: "Service",
    app: Any = None,
    *,
    endpoint: EndpointOf | None = None,
    shedding: SheddingConfig | None = None,
) -> "AsgiMiddleware":
    """Django's ASGI application under guard, as by `Service.asgi`.

    Django has no lifespan of its own, so the service's is the server's.
    """
    return service.asgi(app or get_asgi_application(), endpoint=endpoint, shedding=shedding)


class RouteMiddleware:
    """For `MIDDLEWARE`: tells the server's middleware which pattern was chosen; sync and async."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The rest of the chain; the view is not chosen yet."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> None:
        """The view was chosen."""
        match = request.resolver_match
        if match is None:
            return
        scope = getattr(request, "scope", None)
        if scope is None:
            request.META[ROUTE] = braces(match.route)
        else:
            scope["route"] = Route(braces(match.route))

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A view let a refusal of a guard through."""
        if not isinstance(error, CallRefusedError | DeadlineExceededError):
            return None
        return _response(answer_of(error))


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body(), status=answer.code, headers=answer.headers())
