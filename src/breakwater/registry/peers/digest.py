"""Everything a registry knows, in short, for another one to compare with what it knows.

All times but versions are ages in milliseconds at the moment the digest was made: two machines
need not agree what time it is. The layout is in docs/formats/peers.md.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Annotated, Final

import msgspec

from breakwater.model import Clock
from breakwater.registry.holding.groups import Switch
from breakwater.registry.holding.lease import Lease
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import MAX_WHOLE, Action, InstanceInfo, LeaseInfo, Whole

VERSION: Final = 1
_ENCODER: Final = msgspec.json.Encoder()


def _nothing() -> msgspec.Raw:
    return msgspec.Raw(b"null")


Age = Annotated[int, msgspec.Meta(ge=-1, le=MAX_WHOLE)]
"""Milliseconds; -1 for what nobody knows."""


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One lease in a digest.

    updated_ms: when its description changed last, at the registry where that was. mark: a digest
    of all that is shown of it. override_ms: when its override was set or taken away.
    renewed_ago_ms: -1 where it was read from a disk and nobody heard of it since. lease_s: how
    long it lasts from its renewal.
    """

    app: str
    instance_id: str
    last_dirty_ms: Whole
    updated_ms: Whole
    mark: str
    status: str
    override: str
    override_ms: Whole
    renewed_ago_ms: Age
    lease_s: Whole

    @property
    def is_heard(self) -> bool:
        """Whether anybody heard of its holder since it was read from a disk."""
        return self.renewed_ago_ms >= 0

    @property
    def silent_s(self) -> float:
        """Since its latest renewal that is known of; endless where none is."""
        return self.renewed_ago_ms / 1000 if self.is_heard else float("inf")


class End(msgspec.Struct, frozen=True, array_like=True):
    """One end in a digest; see `holding.endings.Ending`."""

    app: str
    instance_id: str
    last_dirty_ms: Whole
    is_final: bool
    ago_ms: Whole


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /api/v1/registry/digest` answers; now_ms shows how far two clocks are apart."""

    version: int
    name: str
    now_ms: Whole
    instances: list[Line]
    ended: list[End]
    acts: msgspec.Raw = msgspec.field(default_factory=_nothing)
    groups: list[Switch] = []


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One whole instance as its holder passes it on; the ages are those of a `Line`."""

    info: InstanceInfo
    override_ms: Whole = 0
    renewed_ago_ms: Age = 0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What `POST /api/v1/registry/copies` asks for: pairs of application and id."""

    wanted: list[tuple[str, str]]


class Copies(msgspec.Struct, frozen=True, kw_only=True):
    """The copies asked for, but of those that have left meanwhile."""

    copies: list[Copy]


class Marks:
    """Digests of descriptions, each made once; a description never changes, it is replaced."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[InstanceInfo, str]] = {}

    def of(self, info: InstanceInfo) -> str:
        """The mark of `info`: the same for two that show the same, whoever holds them."""
        key = (info.app, info.instance_id)
        held = self._kept.get(key)
        if held is None or held[0] is not info:
            held = (info, mark_of(info))
            self._kept[key] = held
        return held[1]

    def forget_all_but(self, registry: Registry) -> None:
        """Drop the marks of instances that have left, once they are many."""
        if len(self._kept) > 2 * len(registry) + 256:
            present = {(info.app, info.instance_id) for info in registry.infos()}
            self._kept = {key: self._kept[key] for key in present if key in self._kept}


def mark_of(info: InstanceInfo) -> str:
    """A digest of what `info` says, apart from when it was said and what led to it."""
    terms = LeaseInfo(
        renewal_interval_s=info.lease.renewal_interval_s, duration_s=info.lease.duration_s
    )
    plain = msgspec.structs.replace(
        info,
        lease=terms,
        last_updated_ms=0,
        action=Action.ADDED,
        metadata=dict(sorted(info.metadata.items())),
    )
    return blake2b(_ENCODER.encode(plain), digest_size=8).hexdigest()


def lines_of(registry: Registry, marks: Marks, clock: Clock) -> Iterator[Line]:
    """A line for each lease."""
    now_s = clock.monotonic_s()
    for lease in tuple(registry.leases()):
        yield line_of(lease, marks, now_s=now_s)


def line_of(lease: Lease, marks: Marks, *, now_s: float) -> Line:
    """The line for one lease."""
    info = lease.info
    return Line(
        info.app,
        info.instance_id,
        info.last_dirty_ms,
        info.last_updated_ms,
        marks.of(info),
        info.status.value,
        info.overridden_status.value,
        lease.override_ms,
        _renewed_ago_ms(lease, now_s=now_s),
        info.lease.duration_s,
    )


def ends_of(registry: Registry, clock: Clock) -> list[End]:
    """A line for each end that is remembered."""
    now_s = clock.monotonic_s()
    return [
        End(
            ending.app,
            ending.instance_id,
            ending.last_dirty_ms,
            ending.is_final,
            int((now_s - ending.at_s) * 1000),
        )
        for ending in registry.endings
    ]


def copy_of(lease: Lease, *, now_s: float) -> Copy:
    """All of one lease."""
    return Copy(
        info=lease.info,
        override_ms=lease.override_ms,
        renewed_ago_ms=_renewed_ago_ms(lease, now_s=now_s),
    )


def _renewed_ago_ms(lease: Lease, *, now_s: float) -> int:
    return -1 if lease.is_recalled else max(0, int((now_s - lease.renewed_s) * 1000))
