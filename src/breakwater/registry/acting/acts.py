"""What an operator can do to an instance, in records."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from breakwater.registry.errors import InvalidActError
from breakwater.registry.instance_info import InstanceStatus, Whole

MAX_FOR_S: Final = 30 * 86_400.0

Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ActKind(StrEnum):
    """What is done.

    DROP: removed now; what registers under that name again is out of service until the act ends.
    DRAIN: out of service, so that callers go elsewhere while it finishes. PIN: neither hidden nor
    removed, whatever the evidence. OVERRIDE: a status that stands above the instance's own.
    """

    DROP = "drop"
    DRAIN = "drain"
    PIN = "pin"
    OVERRIDE = "override"


class NewAct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator asks for.

    for_s: after so long it ends by itself; None for never, and for a drop that holds nothing out.
    status: of an override only.
    """

    kind: ActKind
    service: Name
    instance_id: Name
    actor: Name
    reason: Text = ""
    for_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_FOR_S)] | None = None
    status: InstanceStatus | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act: what was done to whom, by whom and why, until when.

    status: what it makes the instance show, "" for a pin. before: what was shown until then, and
    `override_before` what another operator had set, "" for nothing. end_ms: when it ends by
    itself, None for never. ended_ms, ended_by: when and how it ended, None and "" while it is in
    force. change_id: its number in the journal.
    """

    id: str
    kind: ActKind
    service: str
    instance_id: str
    actor: str
    reason: str
    status: str
    before: str
    override_before: str = ""
    start_ms: Whole
    end_ms: Whole | None = None
    ended_ms: Whole | None = None
    ended_by: str = ""
    change_id: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The application and the id it is about."""
        return self.service.upper(), self.instance_id

    @property
    def family(self) -> str:
        """Of the acts of one family on an instance one is in force: the newest."""
        return "pin" if self.kind is ActKind.PIN else "status"

    @property
    def is_in_force(self) -> bool:
        """Whether it still has an effect."""
        return self.ended_ms is None


class ActList(msgspec.Struct, frozen=True, kw_only=True):
    """Acts, the newest first."""

    acts: list[Act]


def status_of_act(wanted: NewAct) -> InstanceStatus | None:
    """What the instance is to show; None for its own. Raises InvalidActError."""
    if wanted.kind is ActKind.OVERRIDE:
        if wanted.status in {None, InstanceStatus.UNKNOWN}:
            allowed = ", ".join(one for one in InstanceStatus if one is not InstanceStatus.UNKNOWN)
            raise InvalidActError(f"an override needs a status, one of {allowed}")
        return wanted.status
    if wanted.status is not None:
        raise InvalidActError(f"only an override takes a status, not a {wanted.kind}")
    return None if wanted.kind is ActKind.PIN else InstanceStatus.OUT_OF_SERVICE
