"""What the HTTP side of every room has in common: bounded bodies, JSON answers, one error shape.

`bounded_body` and `unpacked_body` never hold more of a request than is allowed; `whole_number`,
`number` and `flag` read the parameters of a query, each with its default; `json_answer` and
`error_answer` spell answers alike; `answering_errors` turns what a room raises on purpose into a
status code and `{"type": "error", "message": ...}`. Which error means which code stays the
business of the room. `caller_of` tells callers apart where they have to share. `Operation`
describes a route, for the OpenAPI document.
"""

from breakwater.web.answers import Endpoint, answering_errors, error_answer, json_answer
from breakwater.web.bodies import bounded_body
from breakwater.web.callers import CALLER, caller_of
from breakwater.web.errors import (
    BodyTooLargeError,
    UnreadableBodyError,
    UnusableParameterError,
)
from breakwater.web.events import EventStream
from breakwater.web.operations import (
    JSON,
    TEXT,
    Failure,
    Method,
    Operation,
    Parameter,
    Reply,
    empty,
    ok,
    path_parameter,
    poll_parameters,
)
from breakwater.web.packing import gunzipped, unpacked_body
from breakwater.web.query import flag, number, whole_number

__all__ = [
    "CALLER",
    "JSON",
    "TEXT",
    "BodyTooLargeError",
    "Endpoint",
    "EventStream",
    "Failure",
    "Method",
    "Operation",
    "Parameter",
    "Reply",
    "UnreadableBodyError",
    "UnusableParameterError",
    "answering_errors",
    "bounded_body",
    "caller_of",
    "empty",
    "error_answer",
    "flag",
    "gunzipped",
    "json_answer",
    "number",
    "ok",
    "path_parameter",
    "poll_parameters",
    "unpacked_body",
    "whole_number",
]
