"""The body of a batch of replicated deeds, and that of its answer, as Eureka servers spell them.

`{"replicationList": [{"appName", "id", "lastDirtyTimestamp", "overriddenStatus", "status",
"instanceInfo", "action"}]}` is answered `{"responseList": [{"statusCode", "responseEntity"}]}`, one
answer for each entry, in order. To a registry of our own kind `overriddenMs` and `breakwater` are
added; a Eureka server is never sent them, for it might refuse what it does not know.
"""

from typing import Final

import msgspec

from breakwater.registry.errors import InvalidInstanceError
from breakwater.registry.holding.groups import Switch
from breakwater.registry.instance_info import InstanceInfo, InstanceStatus
from breakwater.registry.peers.outbox import Task, TaskAction
from breakwater.registry.spelling.document import read_instance, unwrapped, write_instance
from breakwater.registry.spelling.fields import integer_of, listed, part_of, text_of, word_of

_ENCODER: Final = msgspec.json.Encoder()
_WITH_INFO: Final = frozenset((TaskAction.REGISTER,))


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One deed a peer passes on."""

    action: TaskAction
    app: str
    instance_id: str
    last_dirty_ms: int | None = None
    status: InstanceStatus = InstanceStatus.UNKNOWN
    override_ms: int | None = None
    info: InstanceInfo | None = None


class Rider(msgspec.Struct, frozen=True, kw_only=True):
    """What goes along between registries of our own kind.

    Who speaks, its operators' acts, and the groups that were switched since it spoke last.
    """

    name: str
    acts: msgspec.Raw = msgspec.Raw(b"null")
    groups: list[Switch] = []


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Deeds a peer passes on; `unread` are those that could not be understood, with the reason."""

    entries: list[Entry | InvalidInstanceError]
    rider: Rider | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer answered to one deed; `info` is its own copy where that is newer."""

    status: int
    info: InstanceInfo | None = None


def write_batch(tasks: list[Task], rider: Rider | None) -> bytes:
    """The body that tells `tasks`; with a rider only for our own kind."""
    document: dict[str, object] = {
        "replicationList": [_write_entry(task, is_ours=rider is not None) for task in tasks]
    }
    if rider is not None:
        document["breakwater"] = rider
    return _ENCODER.encode(document)


def _write_entry(task: Task, *, is_ours: bool) -> dict[str, object]:
    info = task.info
    entry: dict[str, object] = {
        "appName": info.app,
        "id": info.instance_id,
        "lastDirtyTimestamp": info.last_dirty_ms,
        "overriddenStatus": info.overridden_status.value,
        "status": info.status.value,
    }
    if task.action in _WITH_INFO:
        entry["instanceInfo"] = write_instance(info)
    entry["action"] = task.action.value
    if is_ours:
        entry["overriddenMs"] = task.override_ms
    return entry


def read_batch(body: bytes) -> Batch:
    """The deeds in `body`; raises InvalidInstanceError when it is no batch at all."""
    whole = part_of(_decoded(body), "the body")
    entries: list[Entry | InvalidInstanceError] = []
    for given in listed(whole.get("replicationList")):
        try:
            entries.append(_read_entry(given))
        except InvalidInstanceError as error:
            entries.append(error)
    return Batch(entries=entries, rider=_read_rider(whole.get("breakwater")))


def _read_entry(given: object) -> Entry:
    part = part_of(given, "replicationList")
    spelled = text_of(part.get("action"), "action")
    try:
        action = TaskAction(spelled)
    except ValueError:
        raise InvalidInstanceError(
            f"action must be one of {', '.join(TaskAction)}; got {spelled!r}"
        ) from None
    described = part.get("instanceInfo")
    dirty = part.get("lastDirtyTimestamp")
    set_ms = integer_of(part.get("overriddenMs"), "overriddenMs", default=0)
    return Entry(
        action=action,
        app=text_of(part.get("appName"), "appName").upper(),
        instance_id=text_of(part.get("id"), "id"),
        last_dirty_ms=None if dirty is None else integer_of(dirty, "lastDirtyTimestamp", default=0),
        status=word_of(part.get("status"), "status", default=InstanceStatus.UNKNOWN),
        override_ms=set_ms or None,
        info=None if described is None else read_instance(unwrapped(described, "instance")),
    )


def _read_rider(given: object) -> Rider | None:
    if given is None:
        return None
    part = part_of(given, "breakwater")
    acts = msgspec.Raw(_ENCODER.encode(part.get("acts")))
    try:
        groups = msgspec.convert(part.get("groups") or [], list[Switch])
    except msgspec.ValidationError as error:
        raise InvalidInstanceError(f"breakwater.groups cannot be read: {error}") from None
    return Rider(name=text_of(part.get("name"), "breakwater.name"), acts=acts, groups=groups)


def write_outcomes(outcomes: list[Outcome]) -> bytes:
    """The answer to a batch."""
    return _ENCODER.encode({"responseList": [_write_outcome(each) for each in outcomes]})


def _write_outcome(outcome: Outcome) -> dict[str, object]:
    answer: dict[str, object] = {"statusCode": outcome.status}
    if outcome.info is not None:
        answer["responseEntity"] = write_instance(outcome.info)
    return answer


def read_outcomes(body: bytes) -> list[Outcome]:
    """What a peer answered to each deed; raises InvalidInstanceError."""
    whole = part_of(_decoded(body), "the answer")
    return [_read_outcome(given) for given in listed(whole.get("responseList"))]


def _read_outcome(given: object) -> Outcome:
    part = part_of(given, "responseList")
    held = part.get("responseEntity")
    return Outcome(
        status=integer_of(part.get("statusCode"), "statusCode", default=200),
        info=None if not isinstance(held, dict) else read_instance(unwrapped(held, "instance")),
    )


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInstanceError(f"the body is not JSON: {error}") from None
