"""The OpenAPI document says what the server does, all of it, and the server does what it says."""

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route
from structlog.testing import capture_logs

from breakwater.ingest import IngestSettings
from breakwater.model import SystemClock
from breakwater.server.app import all_operations, make_app
from breakwater.server.openapi import openapi, plain_path
from breakwater.server.platform import Platform
from breakwater.server.settings import Settings

_SLOW_TO_ANSWER = {"wait_s"}
_WITHOUT_END = {
    ("GET", "/api/v1/registry/events"),
    ("GET", "/turbine.stream"),
    ("GET", "/turbine/turbine.stream"),
}
_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.anyio
async def test_every_route_is_described_and_every_description_is_mounted(tmp_path: Path) -> None:
    """Methods and paths of the routes and of the operations are the same, both ways."""
    chosen = Settings(data_dir=str(tmp_path), ingest=IngestSettings(port=0))
    with capture_logs():
        async with Platform(chosen, SystemClock()) as platform:
            table: Any = make_app(platform, {})._app
            mounted = sorted(
                (method, route.path)
                for route in table._router.routes
                if isinstance(route, Route)
                for method in (route.methods or set()) - {"HEAD"}
            )
            assert len(mounted) == len(table._router.routes)
    assert mounted == sorted((each.method, each.path) for each in all_operations())


def test_the_document_is_whole() -> None:
    """Every reference leads to a schema, every varying part of a path is a parameter."""
    document = json.loads(json.dumps(openapi(all_operations())))
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for piece in text.split('"#/components/schemas/')[1:]:
        assert piece.partition('"')[0] in schemas
    identities = []
    for path, item in document["paths"].items():
        for operation in item.values():
            identities.append(operation["operationId"])
            named = {
                each["name"] for each in operation.get("parameters", []) if each["in"] == "path"
            }
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            places = [(each["in"], each["name"]) for each in operation.get("parameters", [])]
            assert len(places) == len(set(places))
            assert operation["summary"]
            assert {"200", "201", "202", "204"} & operation["responses"].keys()
    assert len(identities) == len(set(identities))


def test_converters_of_paths_are_left_out() -> None:
    """How a server cuts a path up is its own business."""
    assert plain_path("/apps/{app}/{id:path}/x") == "/apps/{app}/{id}/x"


@schemathesis.serializer("application/x-protobuf")
def as_it_is(_: Any, value: Any) -> Any:
    """Bodies without a schema are sent as whatever text they are."""
    return str(value).encode()


@pytest.mark.slow
def test_whatever_fits_the_document_is_answered_as_it_says(server: Any) -> None:
    """Requests made up from the document never break the server, and get what it promises."""
    schema = schemathesis.openapi.from_url(
        f"http://127.0.0.1:{server.http_port}/api/v1/openapi.json"
    )
    tried = set()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if (operation.method.upper(), operation.path) in _WITHOUT_END:
            continue

        @settings(
            max_examples=15,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            for name in _SLOW_TO_ANSWER & set(case.query or ()):
                del case.query[name]
            answer = case.call()
            assert answer.status_code != 500, f"{case.method} {case.formatted_path}: {answer.text}"
            case.validate_response(answer, checks=_CHECKS)

        check()
        tried.add((operation.method.upper(), operation.path))
    described = {(each.method, plain_path(each.path)) for each in all_operations()}
    assert described - tried <= {("GET", "/api/v1/openapi.json"), *_WITHOUT_END}
