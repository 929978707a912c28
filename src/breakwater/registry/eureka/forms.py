"""The spellings an answer can have."""

from typing import Final

import msgspec

from breakwater.registry.spelling.json_codec import JsonCodec
from breakwater.registry.spelling.xml_codec import XmlCodec

JSON: Final = JsonCodec()
XML: Final = XmlCodec()


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The spelling a client asked for."""

    is_json: bool = False
    is_compact: bool = False

    @property
    def codec(self) -> JsonCodec | XmlCodec:
        """What writes this form."""
        return JSON if self.is_json else XML


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One encoded body, as gzip if `is_packed`."""

    body: bytes
    media_type: str
    is_packed: bool = False
