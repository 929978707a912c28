"""Eureka's JSON: documents in and out."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from breakwater.registry.errors import InvalidInstanceError
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.spelling.document import (
    Applications,
    read_application,
    read_applications,
    read_instance,
    unwrapped,
    write_instance,
)
from breakwater.registry.spelling.fields import Document

_ENCODER: Final = msgspec.json.Encoder()


class JsonCodec:
    """Reads and writes JSON; written fragments can be kept and joined into larger answers."""

    media_type: Final = "application/json"
    between: Final = b","
    """What stands between two instances, and between two applications."""
    closing: Final = b"]}"
    """What comes after the instances of one application."""
    ending: Final = b"]}}"
    """What comes after all applications of a list."""
    around_one: Final = (b'{"application":', b"}")
    """What stands around one application that is an answer of its own."""

    def read_instance(self, body: bytes) -> InstanceInfo:
        """The instance in `body`, with or without the wrapper `{"instance": ...}`."""
        return read_instance(unwrapped(_decoded(body), "instance"))

    def read_application(self, body: bytes) -> list[InstanceInfo]:
        """The instances in `{"application": {"name": ..., "instance": [...]}}`."""
        return read_application(unwrapped(_decoded(body), "application"))

    def read_applications(self, body: bytes) -> Applications:
        """Every instance in `{"applications": {...}}`, whole list or delta."""
        return read_applications(unwrapped(_decoded(body), "applications"))

    def fragment(self, info: InstanceInfo, *, is_compact: bool) -> bytes:
        """One instance as it stands inside a list."""
        return _ENCODER.encode(write_instance(info, is_compact=is_compact))

    def instance(self, fragment: bytes) -> bytes:
        """The answer for one instance."""
        return b'{"instance":%b}' % fragment

    def application(self, name: str, fragments: Iterable[bytes]) -> bytes:
        """The answer for one application."""
        return b'{"application":%b}' % self.member(name, fragments)

    def applications(
        self, version: str, hash_code: str, apps: Iterable[tuple[str, Iterable[bytes]]]
    ) -> bytes:
        """The answer for many applications: a whole list, a delta, or those behind an address."""
        members = self.between.join(self.member(name, fragments) for name, fragments in apps)
        return b"%b%b%b" % (self.heading(version, hash_code), members, self.ending)

    def member(self, name: str, fragments: Iterable[bytes]) -> bytes:
        """One application as it stands inside a list."""
        return b"%b%b%b" % (self.opening(name), self.between.join(fragments), self.closing)

    def status(self, _root: str, groups: Mapping[str, Document], info: InstanceInfo) -> bytes:
        """A server's page about itself: groups of facts, and the server as an instance."""
        return _ENCODER.encode({**groups, "instanceInfo": write_instance(info)})

    def opening(self, name: str) -> bytes:
        """What comes before the instances of one application inside a list."""
        return b'{"name":%b,"instance":[' % _ENCODER.encode(name)

    def heading(self, version: str, hash_code: str) -> bytes:
        """What comes before all applications of a list."""
        return b'{"applications":{"versions__delta":%b,"apps__hashcode":%b,"application":[' % (
            _ENCODER.encode(version),
            _ENCODER.encode(hash_code),
        )


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInstanceError(f"the body is not JSON: {error}") from None
