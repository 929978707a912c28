"""What gRPC's status codes mean, in the words of the call records; for both gRPC adapters."""

from typing import Any, Final

import grpc

from breakwater.model import Status
from breakwater.sdk.errors import AttemptTimedOutError

_C: Final = grpc.StatusCode
_STATUS: Final[dict[Any, Status]] = {
    _C.OK: Status.SUCCESS,
    _C.CANCELLED: Status.CANCELLED,
    _C.UNKNOWN: Status.UNEXPECTED_ERROR,
    _C.INVALID_ARGUMENT: Status.BAD_REQUEST,
    _C.DEADLINE_EXCEEDED: Status.TIMEOUT,
    _C.NOT_FOUND: Status.BAD_REQUEST,
    _C.ALREADY_EXISTS: Status.BAD_REQUEST,
    _C.PERMISSION_DENIED: Status.ACCESS_DENIED,
    _C.RESOURCE_EXHAUSTED: Status.THROTTLED,
    _C.FAILED_PRECONDITION: Status.BAD_REQUEST,
    _C.ABORTED: Status.BAD_REQUEST,
    _C.OUT_OF_RANGE: Status.BAD_REQUEST,
    _C.UNIMPLEMENTED: Status.BAD_REQUEST,
    _C.INTERNAL: Status.UNEXPECTED_ERROR,
    _C.UNAVAILABLE: Status.UNAVAILABLE,
    _C.DATA_LOSS: Status.UNEXPECTED_ERROR,
    _C.UNAUTHENTICATED: Status.ACCESS_DENIED,
}
_BY_HTTP: Final[dict[int, Any]] = {
    400: _C.INVALID_ARGUMENT,
    401: _C.UNAUTHENTICATED,
    403: _C.PERMISSION_DENIED,
    404: _C.NOT_FOUND,
    408: _C.DEADLINE_EXCEEDED,
    409: _C.ABORTED,
    429: _C.RESOURCE_EXHAUSTED,
    499: _C.CANCELLED,
    501: _C.UNIMPLEMENTED,
    502: _C.UNAVAILABLE,
    503: _C.UNAVAILABLE,
    504: _C.DEADLINE_EXCEEDED,
}


def status_of_code(code: Any) -> tuple[Status, str]:
    """Call status and detail of a gRPC status code; None counts as `UNKNOWN`, as gRPC has it."""
    status = _STATUS.get(code, Status.UNEXPECTED_ERROR)
    if status is Status.SUCCESS:
        return status, ""
    return status, f"grpc_{getattr(code, 'name', 'UNKNOWN').lower()}"


def code_of_http(code: int) -> Any:
    """The gRPC status code that stands for an HTTP status of 400 and above."""
    return _BY_HTTP.get(code, _C.INTERNAL if code >= 500 else _C.FAILED_PRECONDITION)


def classify(error: BaseException) -> tuple[Status, str] | None:
    """Call status and detail of an error of gRPC, of either kind."""
    code = getattr(error, "code", None)
    if not isinstance(error, grpc.RpcError) or not callable(code):
        return None
    return status_of_code(code())


def is_unavailable(error: Exception) -> bool:
    """Whether another attempt may do better: the callee could not be reached, or would not."""
    return isinstance(error, grpc.RpcError) and error.code() is _C.UNAVAILABLE


def endpoint_of(method: str | bytes) -> str:
    """`/shop.Prices/Get` as the name of an endpoint: `shop.Prices.Get`."""
    text = method.decode("utf-8", "replace") if isinstance(method, bytes) else method
    return text.lstrip("/").replace("/", ".")


def text_pairs(metadata: Any) -> dict[str, str]:
    """Metadata by name, values that are bytes left out."""
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def timed_out_text(error: AttemptTimedOutError) -> str:
    """The message of such an error where `code`, as with gRPC, is a method and no HTTP status."""
    callee = f"{error.service} ({error.endpoint})" if error.endpoint else error.service
    return f"call to {callee} failed: {error.status} ({error.detail})"
