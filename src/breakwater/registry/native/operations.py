"""What the native routes take and answer."""

from typing import Annotated, Final, Literal

import msgspec

from breakwater.model import CallerReport, InstanceView, ViewChange
from breakwater.registry.native.endpoints import BASE, Taken
from breakwater.registry.native.prometheus import TargetGroup
from breakwater.registry.native.record import InstanceRecord
from breakwater.web import JSON, Operation, Parameter, ok, path_parameter

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Status = Literal["up", "all"]

_SERVICE: Final = Parameter(name="service", summary="only instances of this service")
_WAITING: Final = (
    Parameter(name="revision", summary="the revision that is known", type=int),
    Parameter(name="wait_s", summary="how long to wait for another", type=Seconds),
    _SERVICE,
)


def operations() -> list[Operation]:
    """The routes of our own view in words."""
    return [*_views(), *_evidence(), _prometheus()]


def _views() -> list[Operation]:
    return [
        Operation(
            method="GET",
            path=f"{BASE}/instances",
            summary="Every registered instance, at once or when that changes",
            tag="registry",
            parameters=_WAITING,
            replies=(ok(InstanceView, "the instances and the revision"),),
            refusals=(400, 503),
        ),
        Operation(
            method="GET",
            path=f"{BASE}/changes",
            summary="What changed since a revision, at once or when something does",
            tag="registry",
            parameters=_WAITING,
            replies=(ok(ViewChange, "the difference, or everything where `since` is null"),),
            refusals=(400, 503),
        ),
        Operation(
            method="GET",
            path=f"{BASE}/events",
            summary="Everything and then every change, as server-sent events",
            tag="registry",
            parameters=(
                _SERVICE,
                Parameter(name="last-event-id", summary="resume after this one", place="header"),
            ),
            replies=(ok(None, "events without end", "text/event-stream"),),
            refusals=(503,),
        ),
    ]


def _evidence() -> list[Operation]:
    return [
        Operation(
            method="POST",
            path=f"{BASE}/evidence",
            summary="Tell the outcomes of one's calls, instance by instance",
            tag="registry",
            body=CallerReport,
            body_media=(JSON,),
            replies=(ok(Taken, "taken", status=202),),
            refusals=(400, 413),
        ),
        Operation(
            method="GET",
            path=f"{BASE}/instances/{{service}}/{{instance_id:path}}",
            summary="All that is known of one instance, with the evidence",
            tag="registry",
            parameters=(
                path_parameter("service", "its service"),
                path_parameter("instance_id", "its id"),
            ),
            replies=(ok(InstanceRecord, "the record"),),
            refusals=(404,),
        ),
    ]


def _prometheus() -> Operation:
    return Operation(
        method="GET",
        path=f"{BASE}/prometheus",
        summary="The instances as targets, for Prometheus' HTTP service discovery",
        tag="registry",
        parameters=(
            _SERVICE,
            Parameter(name="status", summary="`all` for more than those UP", type=Status),
        ),
        replies=(ok(list[TargetGroup], "one group an instance"),),
        refusals=(400,),
    )
