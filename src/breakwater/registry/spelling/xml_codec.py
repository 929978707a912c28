"""Eureka's XML: documents in and out, in the spelling of XStream.

The parser takes elements, attributes and text only. A document type declaration is refused before
anything in it is read, so no entity can be declared or fetched; depth and size are bounded.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import msgspec

from breakwater.registry.errors import InvalidInstanceError
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.spelling.codec import Codec
from breakwater.registry.spelling.document import (
    EMPTY_MAP,
    write_instance,
)
from breakwater.registry.spelling.fields import Document
from breakwater.registry.spelling.xstream import element_name, map_key

_MAX_DEPTH: Final = 8
_IN_TEXT: Final = {"\r": "&#13;"}
_IN_ATTRIBUTE: Final = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


class XmlCodec(Codec):
    """Reads and writes XML, in the spelling of XStream."""

    media_type: Final = "application/xml"
    between = b""
    closing = b"</application>"
    ending = b"</applications>"
    around_one: Final = (b"", b"")
    """What stands around one application that is an answer of its own."""

    def parsed(self, body: bytes, name: str) -> Document:
        """What stands in the element `name`."""
        return _parsed(body, name)

    def fragment(self, info: InstanceInfo, *, is_compact: bool) -> bytes:
        """One instance as it stands inside a list."""
        return _element("instance", write_instance(info, is_compact=is_compact)).encode()

    def instance(self, fragment: bytes) -> bytes:
        """The answer for one instance."""
        return fragment

    def application(self, name: str, fragments: Iterable[bytes]) -> bytes:
        """The answer for one application."""
        return self.member(name, fragments)

    def status(self, root: str, groups: Mapping[str, Document], info: InstanceInfo) -> bytes:
        """A server's page about itself: groups of facts, and the server as an instance."""
        return _element(root, {**groups, "instanceInfo": write_instance(info)}).encode()

    def opening(self, name: str) -> bytes:
        """What comes before the instances of one application inside a list."""
        return b"<application><name>%b</name>" % _text(name).encode()

    def heading(self, version: str, hash_code: str) -> bytes:
        """What comes before all applications of a list."""
        return (
            b"<applications><versions__delta>%b</versions__delta>"
            b"<apps__hashcode>%b</apps__hashcode>"
        ) % (_text(version).encode(), _text(hash_code).encode())


def _element(name: str, value: object) -> str:
    if name == "overriddenStatus":
        name = "overriddenstatus"
    if name == "metadata" and isinstance(value, Mapping):
        return _metadata(value)
    if not isinstance(value, Mapping):
        return f"<{name}>{_text(str(value))}</{name}>"
    attributes = "".join(
        f" {key[1:]}={quoteattr(str(entry), _IN_ATTRIBUTE)}"
        for key, entry in value.items()
        if key.startswith("@")
    )
    inner = "".join(
        _text(str(entry)) if key == "$" else _element(key, entry)
        for key, entry in value.items()
        if not key.startswith("@")
    )
    return f"<{name}{attributes}>{inner}</{name}>"


def _metadata(entries: Document) -> str:
    if entries == {"@class": EMPTY_MAP}:
        return f'<metadata class="{EMPTY_MAP}"/>'
    inner = "".join(
        f"<{name}>{_text(str(value))}</{name}>"
        for name, value in ((element_name(key), value) for key, value in entries.items())
    )
    return f"<metadata>{inner}</metadata>"


def _text(text: str) -> str:
    return escape(text, _IN_TEXT)


class _Node(msgspec.Struct):
    """One open element while a body is read."""

    name: str
    attributes: dict[str, str]
    children: list["_Node"] = []
    text: list[str] = []

    def value(self) -> object:
        """This element as a part of a document."""
        if self.name == "metadata":
            return {map_key(child.name): "".join(child.text) for child in self.children}
        text = "".join(self.text)
        if not self.children and not self.attributes:
            return text
        document: dict[str, object] = {f"@{key}": entry for key, entry in self.attributes.items()}
        if not self.children:
            document["$"] = text
        for child in self.children:
            _put(document, child.name, child.value())
        return document


def _put(document: dict[str, object], name: str, value: object) -> None:
    """Add one child; the second of the same name turns both into a list."""
    held = document.get(name)
    if name not in document:
        document[name] = value
    elif isinstance(held, list):
        held.append(value)
    else:
        document[name] = [held, value]


class _Reader:
    """Collects the elements of one body, within bounds."""

    def __init__(self) -> None:
        self.root: _Node | None = None
        self._open: list[_Node] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        node = _Node(name=name, attributes=attributes)
        if len(self._open) == _MAX_DEPTH:
            raise InvalidInstanceError(f"<{name}> is nested deeper than {_MAX_DEPTH} elements")
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].text.append(text)

    def refuse(self, *_declaration: object) -> None:
        raise InvalidInstanceError(
            "a document type declaration (<!DOCTYPE ...>) is not accepted; send the element alone"
        )


def _parsed(body: bytes, name: str) -> Document:
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise InvalidInstanceError(f"the body is not XML: {error}") from None
    except (LookupError, ValueError) as error:
        raise InvalidInstanceError(f"the body's XML encoding is not known: {error}") from None
    root = reader.root
    if root is None or root.name != name:
        found = "nothing" if root is None else f"<{root.name}>"
        raise InvalidInstanceError(f"the body must be one <{name}> element, found {found}")
    value = root.value()
    return value if isinstance(value, dict) else {}
