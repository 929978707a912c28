"""What the HTTP side of every room has in common: bounded bodies, JSON answers, one error shape.

`bounded_body` never holds more of a request than is allowed; `json_answer` and `error_answer`
spell answers alike; `answering_errors` turns what a room raises on purpose into a status code and
`{"type": "error", "message": ...}`. Which error means which code stays the business of the room.
"""

from breakwater.web.answers import answering_errors, error_answer, json_answer
from breakwater.web.bodies import bounded_body
from breakwater.web.errors import BodyTooLargeError

__all__ = ["BodyTooLargeError", "answering_errors", "bounded_body", "error_answer", "json_answer"]
