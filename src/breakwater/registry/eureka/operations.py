"""What the registry's routes take and answer: Eureka's protocol."""

from typing import Final, Literal

from breakwater.registry.eureka.endpoints import BASES
from breakwater.registry.eureka.forms import XML
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


_RENEWAL: Final = (
    Parameter(name="status", summary="the status of the instance; read from its description"),
    Parameter(name="overriddenstatus", summary="the override a peer knows of", type=InstanceStatus),
)
_OVERRIDES: Final = ok(dict[str, InstanceStatus], "the status set by an operator, by instance id")


def operations() -> list[Operation]:
    """The routes of the registry in words."""
    return [each for base in BASES for each in _eureka(base)]


def _eureka(base: str) -> list[Operation]:
    one = f"{base}/apps/{{app}}/{{instance_id:path}}"
    return [
        *_listing(base),
        *(
            _plain("POST", path, "Register an instance", (_APP,), _FORMS, status=204)
            for path in (f"{base}/apps/{{app}}", f"{base}/apps/{{app}}/")
        ),
        _plain("PUT", one, "Renew the lease of an instance", (_APP, _INSTANCE, _DIRTY, *_RENEWAL)),
        _plain("DELETE", one, "End the lease of an instance", (_APP, _INSTANCE)),
        _plain("PUT", f"{one}/status", "Override a status", (_APP, _INSTANCE, _status(), _DIRTY)),
        _plain("DELETE", f"{one}/status", "Take an override back", (_APP, _INSTANCE, _DIRTY)),
        _plain("PUT", f"{one}/metadata", "Set metadata, each as a parameter", (_APP, _INSTANCE)),
        _plain(
            "PUT",
            f"{base}/asg/{{name:path}}/status",
            "Take a group of instances out of service, or let it serve again",
            (path_parameter("name", "the name of the group"), _switch()),
        ),
        _page(base, "/serverinfo/statusoverrides", "Every override, by instance", _OVERRIDES),
    ]


def _page(base: str, path: str, summary: str, reply: Reply) -> Operation:
    return Operation(
        method="GET",
        path=base + path,
        summary=summary,
        tag="eureka",
        replies=(reply,),
        refusals=(),
    )


def _listing(base: str) -> list[Operation]:
    address = path_parameter("address", "the virtual address")
    regions = Parameter(name="regions", summary="accepted; there are no remote regions here")
    table: list[tuple[str, str, tuple[Parameter, ...]]] = [
        ("/apps", "Every application", (regions,)),
        ("/apps/", "Every application", (regions,)),
        ("/apps/delta", "What changed in the last minutes", (regions,)),
        ("/apps/delta/", "What changed in the last minutes", (regions,)),
        ("/apps/{app}", "The instances of an application", (_APP,)),
        ("/apps/{app}/", "The instances of an application", (_APP,)),
        ("/apps/{app}/{instance_id:path}", "One instance", (_APP, _INSTANCE)),
        ("/instances/{instance_id:path}", "One instance, whatever its application", (_INSTANCE,)),
        ("/vips/{address:path}", "The instances behind a virtual address", (address,)),
        ("/svips/{address:path}", "The instances behind a secure virtual address", (address,)),
        ("/status", "The state of this server, in Eureka's words", ()),
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


def _switch() -> Parameter:
    kind = Literal["ENABLED", "DISABLED"]
    return Parameter(name="value", summary="what it shall be", type=kind, is_required=True)


def _status() -> Parameter:
    return Parameter(name="value", summary="the status", type=InstanceStatus, is_required=True)


def _refusals() -> tuple[Reply, ...]:
    """Refusals as Eureka's clients know them, a code and a text; the edge refuses in JSON."""
    return tuple(
        Reply(status=status, summary=summary, media=(TEXT, JSON))
        for status, summary in (
            (400, "bad input"),
            (403, "lists are not served: not yet, or deltas are off"),
            (404, "nothing is registered under that name"),
            (413, "too large"),
            (415, "neither JSON nor XML"),
            (500, "a word that is no status"),
            (503, "no place for another instance, or not now"),
        )
    )
