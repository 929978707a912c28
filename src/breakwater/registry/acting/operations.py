"""What the routes of acts take and answer."""

from breakwater.registry.acting.acts import Act, ActList, NewAct
from breakwater.registry.acting.endpoints import PATH
from breakwater.web import JSON, Operation, Parameter, ok, path_parameter


def operations() -> list[Operation]:
    """The routes of acts in words."""
    return [
        Operation(
            method="GET",
            path=PATH,
            summary="What operators did to instances, as far as it is in force",
            tag="registry",
            parameters=(
                Parameter(name="service", summary="only acts on this service"),
                Parameter(name="all", summary="those that ended of late too", type=bool),
            ),
            replies=(ok(ActList, "the acts, the newest first"),),
        ),
        Operation(
            method="POST",
            path=PATH,
            summary="Drop, drain or pin an instance, or override its status",
            tag="registry",
            body=NewAct,
            body_media=(JSON,),
            replies=(ok(Act, "the same was in force already"), ok(Act, "done", status=201)),
            refusals=(400, 404, 413, 503),
        ),
        Operation(
            method="DELETE",
            path=f"{PATH}/{{id}}",
            summary="Undo an act",
            tag="registry",
            parameters=(
                path_parameter("id", "of the act"),
                Parameter(name="actor", summary="who undoes it"),
            ),
            replies=(ok(Act, "the act, at its end"),),
            refusals=(400, 404, 503),
        ),
    ]
