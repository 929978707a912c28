"""The call context as HTTP headers: pure functions, both ways.

Reading never fails: a malformed header counts in `Inbound.malformed` and is taken as absent,
as W3C Trace Context asks. The headers are listed in docs/formats/propagation.md.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from breakwater.sdk.context import NESTED, Attempts, CallContext, Criticality, Trace

CALLER: Final = "breakwater-caller"
CALLER_NODE: Final = "breakwater-caller-node"
ATTEMPT: Final = "breakwater-attempt"
DEADLINE: Final = "breakwater-deadline-ms"
CRITICALITY_KEY: Final = "bw.criticality"
MAX_DEADLINE_S: Final = 86_400.0
MAX_BAGGAGE_BYTES: Final = 8_192
MAX_BAGGAGE_ENTRIES: Final = 64

INTERESTING: Final = frozenset(
    (
        b"breakwater-caller",
        b"breakwater-attempt",
        b"breakwater-deadline-ms",
        b"grpc-timeout",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-attempt-count",
        b"grpc-previous-rpc-attempts",
        b"traceparent",
        b"tracestate",
        b"baggage",
    )
)
"""The headers that carry context; no other is looked at."""
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MILLISECONDS: Final = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_GRPC_TIMEOUT: Final = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_GRPC_UNIT_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAME: Final = re.compile(r"[-._A-Za-z0-9^~]{1,120}")
_BAGGAGE_SAFE: Final = "!#$&'()*+-./:<=>?@[]^_`{|}~"


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of a request said: the context to bind, and who called."""

    context: CallContext
    caller: str = ""
    attempt: int = 1
    is_final: bool = True
    malformed: int = 0


def new_id(size_bytes: int) -> str:
    """A random identifier in hex that is not all zeros."""
    while True:
        made = os.urandom(size_bytes).hex()
        if made.strip("0"):
            return made


def read_headers(
    headers: Iterable[tuple[bytes, bytes]],
    now_s: float,
    new_id: Callable[[int], str] = new_id,
) -> Inbound:
    """The context a request brings; header names in lower case, as ASGI gives them.

    A trace is continued with a new span of this hop, or begun if the request has none.
    """
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in INTERESTING:
            text = value.decode("latin-1").strip()
            repeated = name in (b"baggage", b"tracestate") and name in found
            found[name] = f"{found[name]},{text}" if repeated else text
    malformed = 0
    budget_s, bad = _budget_s(found)
    malformed += bad
    parent, bad = _trace(found)
    malformed += bad
    entries, bad = parse_baggage(found.get(b"baggage", ""))
    malformed += bad
    level, bad = _criticality(entries.pop(CRITICALITY_KEY, None))
    malformed += bad
    attempts = _attempts(found)
    return Inbound(
        context=CallContext(
            deadline_s=None if budget_s is None else now_s + budget_s,
            trace=Trace(
                trace_id=parent.trace_id if parent else new_id(16),
                span_id=new_id(8),
                flags=parent.flags if parent else 1,
                state=parent.state if parent else "",
            ),
            baggage=entries,
            criticality=level,
            attempts=None if attempts is None else NESTED,
        ),
        caller=_name(found.get(b"breakwater-caller", "")),
        attempt=1 if attempts is None else attempts.number,
        is_final=attempts is None or not attempts.may_follow,
        malformed=malformed,
    )


def write_headers(
    context: CallContext,
    budget_s: float | None,
    new_id: Callable[[int], str] = new_id,
) -> dict[str, str]:
    """Headers that hand `context` to the next hop; `budget_s` is what it may take, None: no limit.

    The hop gets a span of its own, so that its two clocks belong to one record.
    """
    trace = context.trace
    trace_id, flags = (trace.trace_id, trace.flags) if trace else (new_id(16), 1)
    headers = {"traceparent": f"00-{trace_id}-{new_id(8)}-{flags:02x}"}
    if trace and trace.state:
        headers["tracestate"] = trace.state
    if context.attempts is not None:
        headers[ATTEMPT] = format_attempts(context.attempts)
    if budget_s is not None:
        headers[DEADLINE] = f"{max(budget_s, 0.0) * 1000.0:.3f}"
    if context.baggage or context.criticality is not Criticality.CRITICAL:
        entries = dict(context.baggage)
        if context.criticality is not Criticality.CRITICAL:
            entries[CRITICALITY_KEY] = context.criticality
        headers["baggage"] = format_baggage(entries)
    return headers


def format_attempts(attempts: Attempts) -> str:
    """A `breakwater-attempt` value: `2`, `1;more`, `1;nested`, `2;more;nested`."""
    more = ";more" if attempts.may_follow else ""
    nested = ";nested" if attempts.is_nested else ""
    return f"{attempts.number}{more}{nested}"


def parse_traceparent(text: str) -> Trace | None:
    """The trace in a `traceparent` value; None if it does not follow W3C Trace Context."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Trace(trace_id=trace_id, span_id=span_id, flags=int(flags, 16) & 0x01)


def parse_baggage(text: str) -> tuple[dict[str, str], int]:
    """Entries of a `baggage` value and how many could not be read; properties are left out."""
    entries: dict[str, str] = {}
    if not text:
        return entries, 0
    from urllib.parse import unquote  # noqa: PLC0415 - needed by requests with baggage only

    if len(text) > MAX_BAGGAGE_BYTES:
        return entries, 1
    malformed = 0
    for member in text.split(","):
        key, equals, value = member.partition(";")[0].partition("=")
        key = key.strip()
        if not equals or not _TOKEN.fullmatch(key) or len(entries) >= MAX_BAGGAGE_ENTRIES:
            malformed += bool(member.strip())
            continue
        entries[key] = unquote(value.strip(), errors="replace")
    return entries, malformed


def format_baggage(entries: Mapping[str, str]) -> str:
    """A `baggage` value; entries that are no legal key, or beyond the size limits, are left out."""
    from urllib.parse import quote  # noqa: PLC0415 - needed by requests with baggage only

    members: list[str] = []
    size = 0
    for key, value in entries.items():
        member = f"{key}={quote(value, safe=_BAGGAGE_SAFE)}"
        size += len(member) + 1
        if size > MAX_BAGGAGE_BYTES or len(members) >= MAX_BAGGAGE_ENTRIES:
            break
        if _TOKEN.fullmatch(key):
            members.append(member)
    return ",".join(members)


def _budget_s(found: Mapping[bytes, str]) -> tuple[float | None, int]:
    """The least of the budgets the request names, seconds; and how many could not be read."""
    budgets: list[float] = []
    malformed = 0
    for name in (b"breakwater-deadline-ms", b"x-envoy-expected-rq-timeout-ms"):
        text = found.get(name)
        if text is None:
            continue
        if not _MILLISECONDS.fullmatch(text):
            malformed += 1
        elif name == b"breakwater-deadline-ms" or float(text) > 0:  # Envoy's 0 means no limit
            budgets.append(float(text) / 1000.0)
    grpc = found.get(b"grpc-timeout")
    if grpc is not None:
        match = _GRPC_TIMEOUT.fullmatch(grpc)
        if match:
            budgets.append(int(match[1]) * _GRPC_UNIT_S[match[2]])
        else:
            malformed += 1
    return min(*budgets, MAX_DEADLINE_S) if budgets else None, malformed


def _trace(found: Mapping[bytes, str]) -> tuple[Trace | None, int]:
    text = found.get(b"traceparent")
    if text is None:
        return None, 0
    parent = parse_traceparent(text)
    if parent is None:
        return None, 1
    state = found.get(b"tracestate", "")
    return (msgspec.structs.replace(parent, state=state[:512]) if state else parent), 0


def _criticality(text: str | None) -> tuple[Criticality, int]:
    if text is None:
        return Criticality.CRITICAL, 0
    try:
        return Criticality(text), 0
    except ValueError:
        return Criticality.CRITICAL, 1


def _attempts(found: Mapping[bytes, str]) -> Attempts | None:
    """What the request says of repetitions, None if it is the only one there will be.

    Envoy and gRPC count too; theirs say nothing of a first attempt.
    """
    text = found.get(b"breakwater-attempt")
    if text is not None:
        number, *words = text.split(";")
        read = Attempts(
            number=max(1, _small(number)),
            may_follow="more" in words,
            is_nested="nested" in words,
        )
        return None if read == Attempts() else read
    number_so_far = max(
        _small(found.get(b"x-envoy-attempt-count", "")),
        _small(found.get(b"grpc-previous-rpc-attempts", "")) + 1,
    )
    return Attempts(number=number_so_far) if number_so_far > 1 else None


def _small(text: str) -> int:
    """A number of at most two digits, 0 if it is none."""
    return int(text) if len(text) <= 2 and text.isascii() and text.isdigit() else 0


def _name(text: str) -> str:
    return text if _NAME.fullmatch(text) else ""
