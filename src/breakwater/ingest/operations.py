"""What the intake's routes take and answer."""

from typing import Annotated, Final, Literal

import msgspec

from breakwater.web import JSON, Operation, Reply, empty

_FORMS: Final = (JSON, "application/x-jackson-smile")
_Tags = dict[str, str]


class PublishedDatapoint(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one series; the series are told apart by their tags, `name` among them."""

    tags: Annotated[_Tags, msgspec.Meta(examples=[{"name": "requests", "nf.app": "www"}])]
    timestamp: Annotated[int, msgspec.Meta(description="milliseconds since the epoch")]
    value: float | Literal["NaN"]


class PublishedPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Datapoints, and tags that all of them have unless they say otherwise."""

    metrics: list[PublishedDatapoint]
    tags: _Tags = {}


class PartialRefusal(msgspec.Struct, frozen=True, rename="camel"):
    """How many datapoints were refused, and at most five reasons."""

    type: Literal["partial", "error"]
    error_count: int
    message: list[str]


def operations() -> list[Operation]:
    """The routes of the intake in words."""
    return [
        *(_publish(path) for path in ("/api/v1/publish", "/api/v1/publish-fast")),
        *(_write(path) for path in ("/api/v1/write", "/api/v1/push")),
    ]


def _publish(path: str) -> Operation:
    return Operation(
        method="POST",
        path=path,
        summary="Store datapoints; plain or gzip",
        tag="intake",
        body=PublishedPayload,
        body_media=_FORMS,
        replies=(
            empty("all are stored"),
            Reply(status=202, summary="some are stored, some refused", type=PartialRefusal),
            Reply(status=400, summary="none is stored"),
        ),
        refusals=(413, 415),
    )


def _write(path: str) -> Operation:
    return Operation(
        method="POST",
        path=path,
        summary="Prometheus remote write 1.0: a WriteRequest, snappy",
        tag="intake",
        body_media=("application/x-protobuf",),
        replies=(
            empty("all are stored", status=204),
            Reply(status=400, summary="some are refused; the others are stored, do not retry"),
        ),
        refusals=(413, 415),
    )
