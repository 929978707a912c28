"""What a request of a Eureka client says, and how its answer is sent."""

from starlette.requests import Request
from starlette.responses import Response

from breakwater.registry.eureka.forms import Answer, Form
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.spelling.fields import integer_of

_FORMS = {
    (is_json, is_compact): Form(is_json=is_json, is_compact=is_compact)
    for is_json in (False, True)
    for is_compact in (False, True)
}


def names(request: Request) -> tuple[str, str]:
    """Application and id in the path."""
    return request.path_params["app"], last_part(request, "instance_id")


def last_part(request: Request, name: str) -> str:
    """The part of the path called `name`, which is its last, without a slash that ends the path."""
    text: str = request.path_params[name]
    is_ended = text.endswith("/") and _raw_path(request).endswith(b"/")
    return text[:-1] if is_ended else text


def belongs_to_id(request: Request, ending: bytes) -> bool:
    """Whether the `ending` of a path is but the end of an id, its slash percent-encoded."""
    raw = _raw_path(request)
    return bool(raw) and not raw.endswith(ending)


def _raw_path(request: Request) -> bytes:
    """The path as it was sent."""
    raw: bytes = request.scope.get("raw_path") or b""
    return raw.partition(b"?")[0]


def form_of(request: Request) -> Form:
    """The spelling that is asked for; XML unless `Accept` contains json."""
    headers = request.headers
    return _FORMS[
        "json" in headers.get("accept", "").lower(),
        headers.get("x-eureka-accept", "").strip().lower() == "compact",
    ]


def packs(request: Request) -> bool:
    """Whether the answer may come as gzip."""
    return "gzip" in request.headers.get("accept-encoding", "").lower()


def origin_of(request: Request) -> Origin:
    """Who speaks: an instance itself, or a peer that passes it on."""
    said = request.headers.get("x-netflix-discovery-replication", "")
    return Origin.PEER if said.strip().lower() == "true" else Origin.CLIENT


def via(request: Request, origin: Origin) -> str:
    """The peer that passes this on; its address where it does not name itself."""
    if origin is Origin.CLIENT:
        return ""
    named = request.headers.get("discoveryidentity-id", "")
    return named or (request.client.host if request.client else "a peer")


def last_dirty(request: Request) -> int | None:
    """When the caller's own version last changed, if it says so; raises InvalidInstanceError."""
    text = request.query_params.get("lastDirtyTimestamp")
    if text in {None, "", "null"}:
        return None
    return integer_of(text, "lastDirtyTimestamp", default=0)


def respond(answer: Answer, status_code: int = 200) -> Response:
    """`answer` as it goes over the wire."""
    headers = {"vary": "accept, accept-encoding, x-eureka-accept"}
    if answer.is_packed:
        headers["content-encoding"] = "gzip"
    return Response(answer.body, status_code, media_type=answer.media_type, headers=headers)
