"""The OpenAPI 3.1 document of everything the server answers, made from the rooms' operations.

Schemas are those msgspec gives for the very types that are decoded and encoded, so a document and
a server of one version cannot disagree about them.
"""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from breakwater import __version__
from breakwater.web import JSON, Failure, Operation, Parameter, Reply

Schema = dict[str, Any]  # Any: JSON Schema and OpenAPI objects, as they are sent
SchemaOf = Callable[[Any], Schema]

_REFERENCE: Final = "#/components/schemas/{name}"
_CONVERTED: Final = re.compile(r"\{(\w+)(:\w+)?\}")
_REFUSED: Final = {
    400: "bad input; the message says what is allowed",
    403: "not allowed",
    404: "there is no such thing",
    409: "it contradicts what is there",
    413: "too large",
    415: "a form of body that is not taken",
    503: "overloaded, or not possible right now; try again later",
}
_TOKEN: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "needed where the settings name tokens; without any, only this machine "
        "may call, and needs none",
    }
}


def openapi(operations: Iterable[Operation]) -> Schema:
    """The document that describes `operations`."""
    listed = list(operations)
    types = [Failure, *(kind for each in listed for kind in _types(each))]
    distinct = [kind for place, kind in enumerate(types) if kind not in types[:place]]
    schemas, components = msgspec.json.schema_components(distinct, ref_template=_REFERENCE)

    def schema_of(kind: Any) -> Schema:
        return schemas[distinct.index(kind)]

    paths: dict[str, Schema] = {}
    for each in listed:
        item = paths.setdefault(plain_path(each.path), {})
        item[each.method.lower()] = _operation(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Breakwater", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components, "securitySchemes": _TOKEN},
        "security": [{}, {"token": []}],
    }


def plain_path(path: str) -> str:
    """A route's path without the converters of its parameters."""
    return _CONVERTED.sub(r"{\1}", path)


def _types(operation: Operation) -> list[Any]:
    types = [parameter.type for parameter in operation.parameters]
    types += [reply.type for reply in operation.replies if reply.type is not None]
    return [*types, operation.body] if operation.body is not None else types


def _operation(operation: Operation, schema_of: SchemaOf) -> Schema:
    described: Schema = {
        "operationId": _identity(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(operation, schema_of),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = [_parameter(each, schema_of) for each in operation.parameters]
    if operation.body_media:
        schema = {} if operation.body is None else {"schema": schema_of(operation.body)}
        described["requestBody"] = {
            "required": operation.is_body_required,
            "content": dict.fromkeys(operation.body_media, schema),
        }
    return described


def _identity(operation: Operation) -> str:
    words = re.sub(r"[^0-9A-Za-z]+", "-", plain_path(operation.path)).strip("-")
    slash = "-slash" if operation.path.endswith("/") else ""
    return f"{operation.method.lower()}-{words}{slash}"


def _parameter(parameter: Parameter, schema_of: SchemaOf) -> Schema:
    schema = schema_of(parameter.type)
    described: Schema = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.summary,
        "required": parameter.is_required,
        "schema": {"type": "array", "items": schema} if parameter.is_repeated else schema,
    }
    if parameter.example is not None:
        described["example"] = [parameter.example] if parameter.is_repeated else parameter.example
    return described


def _responses(operation: Operation, schema_of: SchemaOf) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for reply in operation.replies:
        found[str(reply.status)] = _response(reply, schema_of)
    failure = {JSON: {"schema": schema_of(Failure)}}
    for status in sorted({*operation.refusals, 503}):
        refused = {
            "description": _REFUSED.get(status, HTTPStatus(status).phrase),
            "content": failure,
        }
        found.setdefault(str(status), refused)
    return found


def _response(reply: Reply, schema_of: SchemaOf) -> Schema:
    described: Schema = {"description": reply.summary}
    if reply.media:
        schema = {} if reply.type is None else {"schema": schema_of(reply.type)}
        described["content"] = {media: (schema if media == JSON else {}) for media in reply.media}
    if reply.headers:
        described["headers"] = {name: {"schema": {"type": "string"}} for name in reply.headers}
    return described
