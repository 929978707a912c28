"""What the registry's routes take and answer: Eureka's protocol and our own view."""

from typing import Final

from breakwater.model import InstanceView
from breakwater.registry.answers import XML
from breakwater.registry.eureka_http import BASES
from breakwater.registry.instance_info import InstanceStatus
from breakwater.web import (
    JSON,
    TEXT,
    Method,
    Operation,
    Parameter,
    Reply,
    empty,
    ok,
    path_parameter,
)

_FORMS: Final = (JSON, XML.media_type)
_APP: Final = path_parameter("app", "the name of the application")
_INSTANCE: Final = path_parameter("instance_id", "the id of the instance")
_DIRTY: Final = Parameter(
    name="lastDirtyTimestamp", summary="when the caller's own version last changed", type=int
)


def operations() -> list[Operation]:
    """The routes of the registry in words."""
    native = Operation(
        method="GET",
        path="/api/v1/registry/instances",
        summary="Every registered instance, at once or when that changes",
        tag="registry",
        parameters=(
            Parameter(name="revision", summary="the revision that is known", type=int),
            Parameter(name="wait_s", summary="how long to wait for another", type=float),
            Parameter(name="service", summary="only instances of this service"),
        ),
        replies=(ok(InstanceView, "the instances and the revision"),),
    )
    return [native, *(each for base in BASES for each in _eureka(base))]


def _eureka(base: str) -> list[Operation]:
    one = f"{base}/apps/{{app}}/{{instance_id:path}}"
    return [
        *_listing(base),
        *(
            _plain("POST", path, "Register an instance", (_APP,), _FORMS, status=204)
            for path in (f"{base}/apps/{{app}}", f"{base}/apps/{{app}}/")
        ),
        _plain("PUT", one, "Renew the lease of an instance", (_APP, _INSTANCE, _DIRTY)),
        _plain("DELETE", one, "End the lease of an instance", (_APP, _INSTANCE)),
        _plain("PUT", f"{one}/status", "Override a status", (_APP, _INSTANCE, _status(), _DIRTY)),
        _plain("DELETE", f"{one}/status", "Take an override back", (_APP, _INSTANCE, _DIRTY)),
        _plain("PUT", f"{one}/metadata", "Set metadata, each as a parameter", (_APP, _INSTANCE)),
    ]


def _listing(base: str) -> list[Operation]:
    address = path_parameter("address", "the virtual address")
    table: list[tuple[str, str, tuple[Parameter, ...]]] = [
        ("/apps", "Every application", ()),
        ("/apps/", "Every application", ()),
        ("/apps/delta", "What changed in the last minutes", ()),
        ("/apps/delta/", "What changed in the last minutes", ()),
        ("/apps/{app}", "The instances of an application", (_APP,)),
        ("/apps/{app}/", "The instances of an application", (_APP,)),
        ("/apps/{app}/{instance_id:path}", "One instance", (_APP, _INSTANCE)),
        ("/instances/{instance_id:path}", "One instance, whatever its application", (_INSTANCE,)),
        ("/vips/{address:path}", "The instances behind a virtual address", (address,)),
        ("/svips/{address:path}", "The instances behind a secure virtual address", (address,)),
    ]
    return [
        Operation(
            method="GET",
            path=base + path,
            summary=summary,
            tag="eureka",
            parameters=parameters,
            replies=(ok(None, "as JSON or XML, whichever is accepted", *_FORMS), *_refusals()),
            refusals=(),
        )
        for path, summary, parameters in table
    ]


def _plain(
    method: Method,
    path: str,
    summary: str,
    parameters: tuple[Parameter, ...],
    body: tuple[str, ...] = (),
    *,
    status: int = 200,
) -> Operation:
    stale = Reply(status=409, summary="a newer version is held", media=_FORMS)
    return Operation(
        method=method,
        path=path,
        summary=summary,
        tag="eureka",
        parameters=parameters,
        body_media=body,
        replies=(empty(status=status), stale, *_refusals()),
        refusals=(),
    )


def _status() -> Parameter:
    return Parameter(name="value", summary="the status", type=InstanceStatus, is_required=True)


def _refusals() -> tuple[Reply, ...]:
    """Refusals as Eureka's clients know them, a code and a text; the edge refuses in JSON."""
    return tuple(
        Reply(status=status, summary=summary, media=(TEXT, JSON))
        for status, summary in (
            (400, "bad input"),
            (404, "nothing is registered under that name"),
            (413, "too large"),
            (415, "neither JSON nor XML"),
            (500, "a word that is no status"),
            (503, "no place for another instance, or not now"),
        )
    )
