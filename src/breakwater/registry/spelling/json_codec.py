"""Eureka's JSON: documents in and out."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from breakwater.registry.errors import InvalidInstanceError
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.spelling.codec import Codec
from breakwater.registry.spelling.document import (
    unwrapped,
    write_instance,
)
from breakwater.registry.spelling.fields import Document

_ENCODER: Final = msgspec.json.Encoder()


class JsonCodec(Codec):
    """Reads and writes JSON, an instance and an application with the word for it or without."""

    media_type: Final = "application/json"
    between = b","
    closing = b"]}"
    ending = b"]}}"
    around_one: Final = (b'{"application":', b"}")
    """What stands around one application that is an answer of its own."""

    def parsed(self, body: bytes, name: str) -> Document:
        """What stands in `body`, in `{name: ...}` or by itself."""
        return unwrapped(_decoded(body), name)

    def fragment(self, info: InstanceInfo, *, is_compact: bool) -> bytes:
        """One instance as it stands inside a list."""
        return _ENCODER.encode(write_instance(info, is_compact=is_compact))

    def instance(self, fragment: bytes) -> bytes:
        """The answer for one instance."""
        return b'{"instance":%b}' % fragment

    def application(self, name: str, fragments: Iterable[bytes]) -> bytes:
        """The answer for one application."""
        return b'{"application":%b}' % self.member(name, fragments)

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
