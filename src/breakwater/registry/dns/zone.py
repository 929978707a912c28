"""Which records a name of the zone has, given the instances as callers are to see them."""

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

from breakwater.model import Health, Instance

ZONE_WORD: Final = "zone"
TCP: Final = "_tcp"
_FOREIGN: Final = re.compile(r"[^a-z0-9-]+")
MAX_LABEL: Final = 63
_LONGEST_SERVICE: Final = 178
"""So that the label of an instance and `breakwater` have room in the 255 bytes of a name too."""
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_HOSTS: Final = 20_000
_LATER: Final = 10
"""Priority in SRV of instances that are not heard of in time: asked when the others fail."""


class Standing(Enum):
    """What a name is."""

    SERVICE = "service"
    PORTS = "ports"
    INSTANCE = "instance"
    BRANCH = "branch"
    NOTHING = "nothing"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The instances that a name stands for; none for a branch, which has names below only."""

    standing: Standing
    instances: tuple[Instance, ...] = ()


_NOTHING: Final = Found(standing=Standing.NOTHING)
_BRANCH: Final = Found(standing=Standing.BRANCH)


class Names:
    """The names of one view: built in O(instances), then a look-up is O(labels).

    Case does not count in DNS; a service name with dots spans several labels. longest_service:
    characters that the domain leaves for it; a longer one has no name here, nor has an instance
    whose host is neither an address nor a host name.
    """

    def __init__(
        self, instances: Iterable[Instance], *, longest_service: int = _LONGEST_SERVICE
    ) -> None:
        self._services: dict[str, list[Instance]] = {}
        self._labels: dict[str, dict[str, Instance]] = {}
        self._zones: set[str] = set()
        spelled: dict[str, bool] = {}
        for one in instances:
            if one.status != "UP" or one.health is Health.LOST:
                continue
            if one.service not in spelled:
                spelled[one.service] = is_spellable(one.service, longest_service)
            if spelled[one.service] and (address_of(one) or _HOST.fullmatch(one.host.lower())):
                self._services.setdefault(one.service.lower(), []).append(one)
                self._zones.add(one.zone.lower())

    def find(self, labels: tuple[str, ...]) -> Found:
        """What the name with these `labels` before the domain (lower case) stands for."""
        if not labels:
            return _BRANCH
        if labels[-1] == ZONE_WORD:
            return self._in_zone(labels[:-1])
        return self._named(labels, zone=None)

    def _in_zone(self, labels: tuple[str, ...]) -> Found:
        for start in range(len(labels)):
            zone = ".".join(labels[start:])
            if zone and zone in self._zones:
                return self._named(labels[:start], zone=zone) if start else _BRANCH
        return _BRANCH if not labels else _NOTHING

    def _named(self, labels: tuple[str, ...], *, zone: str | None) -> Found:
        if labels[-1] == TCP:
            return self._ports(labels[:-1], zone)
        chosen = self._of(".".join(labels), zone)
        if chosen:
            return Found(standing=Standing.SERVICE, instances=chosen)
        one = self._labelled(".".join(labels[1:])).get(labels[0])
        if one is None or (zone is not None and one.zone.lower() != zone):
            return _NOTHING
        return Found(standing=Standing.INSTANCE, instances=(one,))

    def _labelled(self, service: str) -> dict[str, Instance]:
        """The instances of `service` by their labels, put together when first asked for."""
        found = self._labels.get(service)
        if found is None:
            known = self._services.get(service)
            if known is None:
                return {}
            found = self._labels[service] = {instance_label(one): one for one in reversed(known)}
        return found

    def _ports(self, labels: tuple[str, ...], zone: str | None) -> Found:
        if not labels:
            return _BRANCH
        name = ".".join(labels)
        chosen = self._of(name[1:], zone) if name.startswith("_") else ()
        return Found(standing=Standing.PORTS, instances=chosen) if chosen else _NOTHING

    def _of(self, service: str, zone: str | None) -> tuple[Instance, ...]:
        known = self._services.get(service, ())
        return tuple(one for one in known if zone is None or one.zone.lower() == zone)


def is_spellable(service: str, longest: int) -> bool:
    """Whether DNS can spell it: labels of 1 to 63 ASCII characters, `longest` in all."""
    labels = service.split(".")
    fits = all(0 < len(label) <= MAX_LABEL for label in labels)
    return fits and len(service) <= longest and service.isascii() and service.isprintable()


def instance_label(instance: Instance) -> str:
    """The label that names an instance below its service: its id, as far as DNS can spell it.

    What is no letter, digit or hyphen becomes a hyphen; eight digits of a hash then keep ids
    apart that would otherwise look the same.
    """
    wanted = instance.instance_id.lower()
    plain = _FOREIGN.sub("-", wanted).strip("-")
    if plain == wanted and len(plain) <= MAX_LABEL:
        return plain
    digest = sha256(instance.instance_id.encode()).hexdigest()[:8]
    return f"{plain[: MAX_LABEL - 9].rstrip('-')}-{digest}".lstrip("-")


def address_of(instance: Instance) -> IPv4Address | IPv6Address | None:
    """Where an instance listens, None if it told a host name instead of an address."""
    return _address(instance.host)


@lru_cache(maxsize=_HOSTS)
def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:  # DNS has no room for brackets, nor for the interface of a link-local address
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def priority_of(instance: Instance) -> int:
    """The SRV priority (RFC 2782: the lowest is asked first) that says how sure it is there."""
    return 0 if instance.health is Health.FRESH else _LATER
