"""Eureka's JSON: documents in and out."""

from collections.abc import Iterable
from typing import Final

import msgspec

from breakwater.registry.document import (
    Applications,
    read_application,
    read_applications,
    read_instance,
    unwrapped,
    write_instance,
)
from breakwater.registry.errors import InvalidInstanceError
from breakwater.registry.instance_info import InstanceInfo

_ENCODER: Final = msgspec.json.Encoder()


class JsonCodec:
    """Reads and writes JSON; written fragments can be kept and joined into larger answers."""

    media_type: Final = "application/json"

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
        return b'{"application":%b}' % _application(name, fragments)

    def applications(
        self, version: str, hash_code: str, apps: Iterable[tuple[str, Iterable[bytes]]]
    ) -> bytes:
        """The answer for many applications: a whole list, a delta, or those behind an address."""
        return b'{"applications":{"versions__delta":%b,"apps__hashcode":%b,"application":[%b]}}' % (
            _ENCODER.encode(version),
            _ENCODER.encode(hash_code),
            b",".join(_application(name, fragments) for name, fragments in apps),
        )


def _application(name: str, fragments: Iterable[bytes]) -> bytes:
    return b'{"name":%b,"instance":[%b]}' % (_ENCODER.encode(name), b",".join(fragments))


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInstanceError(f"the body is not JSON: {error}") from None
