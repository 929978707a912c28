"""Encoded answers, made once per change and kept as bytes.

A list of ten thousand instances takes tenths of a second to encode, and clients ask for it all the
time: the bytes of each instance are kept until it changes, the joined answer until anything does.
"""

import gzip
from collections.abc import Iterable
from enum import Enum
from typing import Final

import msgspec

from breakwater.registry.document import hash_code
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.json_codec import JsonCodec
from breakwater.registry.registry import Registry
from breakwater.registry.xml_codec import XmlCodec

JSON: Final = JsonCodec()
XML: Final = XmlCodec()
_WORTH_PACKING_BYTES: Final = 1024
_SPARE_FRAGMENTS: Final = 256


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The spelling a client asked for."""

    is_json: bool = False
    is_compact: bool = False

    @property
    def codec(self) -> JsonCodec | XmlCodec:
        """What writes this form."""
        return JSON if self.is_json else XML


class Extent(Enum):
    """Which list a client asked for."""

    WHOLE = "whole"
    DELTA = "delta"


class Answer:
    """One encoded body; its gzip form is made when first asked for."""

    __slots__ = ("_packed", "body", "media_type")

    def __init__(self, body: bytes, media_type: str) -> None:
        self.body = body
        self.media_type = media_type
        self._packed: bytes | None = None

    def packed(self) -> bytes | None:
        """The gzip form, or None where packing would not pay."""
        if len(self.body) < _WORTH_PACKING_BYTES:
            return None
        if self._packed is None:
            self._packed = gzip.compress(self.body, compresslevel=1, mtime=0)
        return self._packed


class Answers:
    """The answers to every read of one registry, in each form."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lists: dict[tuple[Extent, Form], tuple[int, Answer]] = {}
        self._fragments: dict[Form, dict[tuple[str, str], tuple[InstanceInfo, bytes]]] = {}

    def whole(self, form: Form) -> Answer:
        """Every application."""
        return self._list(Extent.WHOLE, form)

    def delta(self, form: Form) -> Answer:
        """What changed lately, with the reconciliation code of the whole."""
        return self._list(Extent.DELTA, form)

    def application(self, name: str, form: Form) -> Answer:
        """One application; raises UnknownInstanceError."""
        fragments = self._encoded(self._registry.application(name), form)
        return Answer(form.codec.application(name.upper(), fragments), form.codec.media_type)

    def behind_address(self, address: str, form: Form, *, is_secure: bool) -> Answer:
        """The applications behind a virtual address; raises UnknownInstanceError."""
        infos = self._registry.behind_address(address, is_secure=is_secure)
        return self._joined("1", infos, infos, form)

    def instance(self, info: InstanceInfo, form: Form) -> Answer:
        """One instance."""
        fragment = form.codec.fragment(info, is_compact=form.is_compact)
        return Answer(form.codec.instance(fragment), form.codec.media_type)

    def _list(self, extent: Extent, form: Form) -> Answer:
        revision = self._registry.revision
        held = self._lists.get((extent, form))
        if held is not None and held[0] == revision:
            return held[1]
        everything = list(self._registry.infos())
        if extent is Extent.WHOLE:
            answer = self._joined("1", everything, everything, form)
        else:
            answer = self._joined(str(revision), self._registry.recent(), everything, form)
        self._lists[extent, form] = (revision, answer)
        return answer

    def _joined(
        self,
        version: str,
        infos: Iterable[InstanceInfo],
        counted: Iterable[InstanceInfo],
        form: Form,
    ) -> Answer:
        apps: dict[str, list[InstanceInfo]] = {}
        for info in infos:
            apps.setdefault(info.app, []).append(info)
        body = form.codec.applications(
            version,
            hash_code(info.status for info in counted),
            ((name, self._encoded(members, form)) for name, members in apps.items()),
        )
        return Answer(body, form.codec.media_type)

    def _encoded(self, infos: Iterable[InstanceInfo], form: Form) -> list[bytes]:
        kept = self._fragments.setdefault(form, {})
        fragments = []
        for info in infos:
            key = (info.app, info.instance_id)
            held = kept.get(key)
            if held is None or held[0] is not info:
                held = (info, form.codec.fragment(info, is_compact=form.is_compact))
                kept[key] = held
            fragments.append(held[1])
        if len(kept) > 2 * len(self._registry) + _SPARE_FRAGMENTS:
            self._forget_gone(form)
        return fragments

    def _forget_gone(self, form: Form) -> None:
        """Drop the bytes of instances that have left."""
        kept = self._fragments[form]
        present = {(info.app, info.instance_id) for info in self._registry.infos()}
        self._fragments[form] = {key: kept[key] for key in kept if key in present}
