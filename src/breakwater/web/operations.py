"""What a route takes and answers, said in records from which the OpenAPI document is made.

Every room lists its own operations beside its routes; a test holds the two against each other.
Types are Python types that msgspec knows: str, int, Literal, Annotated with Meta, Structs.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
JSON: Final = "application/json"
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
TEXT: Final = "text/plain"


class Failure(msgspec.Struct, frozen=True):
    """The one shape of every error; `message` names what was wrong and what is allowed."""

    type: Literal["error"]
    message: str


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a request; a repeated one may be given several times."""

    name: str
    summary: str
    type: Any = str  # Any: a type msgspec has a schema for
    place: Literal["query", "path", "header"] = "query"
    is_required: bool = False
    is_repeated: bool = False
    example: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of answer; without a media type it has no body, without a type any body."""

    status: int
    summary: str
    type: Any = None  # Any: a type msgspec has a schema for
    media: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path, spelled as the route is.

    tag: the family it is listed under. body: the type of what is sent, `body_media` the forms it
    may have; no forms for a request without a body. refusals: status codes answered as a Failure.
    """

    method: Method
    path: str
    summary: str
    tag: str
    replies: tuple[Reply, ...]
    parameters: tuple[Parameter, ...] = ()
    body: Any = None  # Any: a type msgspec has a schema for
    body_media: tuple[str, ...] = ()
    is_body_required: bool = True
    refusals: tuple[int, ...] = (400,)
    description: str = ""


def path_parameter(name: str, summary: str, kind: Any = str) -> Parameter:
    """A part of the path that varies."""
    return Parameter(name=name, summary=summary, type=kind, place="path", is_required=True)


def poll_parameters() -> tuple[Parameter, ...]:
    """Those of a long poll by an instance: who asks, what is known, how long to wait for more."""
    return (
        Parameter(name="service", summary="whose", is_required=True),
        Parameter(name="instance", summary="which instance asks"),
        Parameter(name="revision", summary="the revision that is known", type=int),
        Parameter(name="wait_s", summary="how long to wait for another", type=_Seconds),
    )


def ok(kind: Any = None, summary: str = "done", *media: str, status: int = 200) -> Reply:
    """An answer that says yes; JSON unless another form is named."""
    return Reply(status=status, summary=summary, type=kind, media=media or (JSON,))


def empty(summary: str = "done", *, status: int = 200) -> Reply:
    """An answer without a body."""
    return Reply(status=status, summary=summary, media=())
