"""Flask under guard: WSGI middleware that knows the routes.

    app = Flask(__name__)
    guard_flask(service, app)

What `breakwater.sdk.wsgi` does for any application, with endpoints named after Flask's rules
(`/v1/titles/<int:id>` is `v1.titles.~id`). A call refused by a guard, or past its deadline, that
no view caught is answered 503 or 504 instead of 500, with the reason and Retry-After.
"""

from typing import TYPE_CHECKING, Any, Unpack

from breakwater.sdk.needs import not_installed

try:
    import flask
except ModuleNotFoundError as error:
    raise not_installed(error, "flask") from None

from breakwater.sdk.door import answer_of
from breakwater.sdk.errors import CallRefusedError, DeadlineExceededError
from breakwater.sdk.routes import braces
from breakwater.sdk.wsgi import ROUTE, Middleware, Options, guarded_app

if TYPE_CHECKING:
    from breakwater.sdk.service import Service


def guard_flask(service: "Service", app: flask.Flask, **options: Unpack[Options]) -> Middleware:
    """Guard all requests of `app`; options as for `breakwater.sdk.wsgi.guarded_app`."""

    def note_route() -> None:
        rule = flask.request.url_rule
        if rule is not None:
            flask.request.environ[ROUTE] = braces(rule.rule)

    def refused(error: Exception) -> Any:
        answer = answer_of(error)
        return flask.Response(answer.body(), status=answer.code, headers=answer.headers())

    app.before_request_funcs.setdefault(None, []).insert(0, note_route)
    app.register_error_handler(CallRefusedError, refused)
    app.register_error_handler(DeadlineExceededError, refused)
    made = guarded_app(service, app.wsgi_app, **options)
    app.wsgi_app = made  # type: ignore[method-assign] # the place Flask has for middleware
    return made
