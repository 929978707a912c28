"""Who may watch what: a pure decision over plan, region, device and running streams.

Apart from the signature (`licences`), so that whoever only speaks to the licence service need not
load any cryptography.
"""

from typing import Final

import msgspec

from breakwater.reference.accounts import PLANS, Account
from breakwater.reference.errors import LicenceRefusedError

DEVICE_HEIGHT: Final = {"tv": 2160, "browser": 1080, "phone": 720}
"""Lines a kind of device may be given, by how well it can keep a key."""


class LicenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to watch: which session of whom, on what, wants which title shown where."""

    account: str
    session: str
    title: str
    device: str
    title_regions: tuple[str, ...]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What was allowed: the tallest picture, and how many streams the account may run."""

    max_height: int
    max_streams: int


class Licence(msgspec.Struct, frozen=True, kw_only=True):
    """A granted licence: the signed token, and the tallest picture it allows."""

    token: str
    max_height: int


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """A licence shown at the start of playing, and the session it is shown for."""

    token: str
    session: str


def decide(request: LicenceRequest, account: Account, earlier_streams: int) -> Grant:
    """Allow the stream or raise LicenceRefusedError with the first rule that forbids it.

    earlier_streams: live streams of the account that were opened before this session; judging by
    order lets exactly `max_streams` of several simultaneous starts through.
    """
    plan = PLANS[account.plan]
    if not account.is_active:
        raise LicenceRefusedError("no_entitlement", f"account {account.id} has no active plan")
    if account.region not in request.title_regions:
        raise LicenceRefusedError(
            "region", f"title {request.title} is not offered in region '{account.region}'"
        )
    if request.device not in DEVICE_HEIGHT:
        raise LicenceRefusedError(
            "device", f"device '{request.device}' is none of {', '.join(DEVICE_HEIGHT)}"
        )
    if earlier_streams >= plan.max_streams:
        raise LicenceRefusedError(
            "too_many_streams",
            f"account {account.id} runs {earlier_streams} streams; "
            f"plan '{plan.name}' allows {plan.max_streams}",
        )
    return Grant(
        max_height=min(plan.max_height, DEVICE_HEIGHT[request.device]),
        max_streams=plan.max_streams,
    )
