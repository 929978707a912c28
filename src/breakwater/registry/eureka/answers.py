"""Encoded answers, made once per change and kept as bytes.

A list of ten thousand instances takes tenths of a second to encode, and clients ask for it all the
time. So the bytes of each instance are kept until it changes, long lists are kept as packed pages
(see `pages`), and what is answered stays as it is until something in it changes.
"""

import zlib
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from breakwater.registry.eureka.book import WORTH_PACKING_BYTES, Book
from breakwater.registry.eureka.forms import Answer, Form
from breakwater.registry.eureka.fragments import Fragments, Key
from breakwater.registry.eureka.kept import KeptAnswers, Question
from breakwater.registry.holding.happenings import Deed, Happening
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.spelling.document import hash_code

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 1
_FEW: Final = 128
"""So many instances are joined and packed in about a millisecond, a list of more takes its turn."""
_PACKED_AT_ONCE_BYTES: Final = 128 << 10
_SPARE: Final = 4_096


class Extent(Enum):
    """Which list a client asked for."""

    WHOLE = "whole"
    DELTA = "delta"


class AnswerStats(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: long lists in each form, spelled instances, bytes of small answers.

    lists_made: how often a long list was put together since the start; once a change and form.
    """

    lists: int
    lists_made: int
    fragments: int
    small_answers_bytes: int


class Answers:
    """The answers to every read of one registry, in each form; never older than the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._fragments = Fragments()
        self._books: dict[tuple[Extent, Form], Book] = {}
        self._kept = KeptAnswers()
        self._states: dict[str, int] = {}
        self._forgotten: dict[Form, int] = {}
        self._made = 0
        self._turn = anyio.Lock()
        registry.listen(self._heard)

    async def whole(self, form: Form, *, packs: bool = False) -> Answer:
        """Every application."""
        book = self._book(Extent.WHOLE, form)
        kept = book.kept(self._registry.revision, packs=packs)
        if kept is not None:
            return kept
        return await book.answer(self._revision, lambda: self._heading("1", form), packs=packs)

    async def delta(self, form: Form, *, packs: bool = False) -> Answer:
        """What changed lately, with the reconciliation code of the whole."""
        book = self._book(Extent.DELTA, form)
        recent = self._registry.recent_changes
        kept = book.kept(recent.state, packs=packs)
        if kept is not None:
            return kept
        if self._forgotten.get(form) != recent.forgotten:
            self._forgotten[form] = recent.forgotten
            book.note(book.keys() - recent.keys())
        return await book.answer(
            lambda: recent.state,
            lambda: self._heading(str(self._registry.revision), form),
            packs=packs,
        )

    async def application(self, name: str, form: Form, *, packs: bool = False) -> Answer:
        """One application; raises UnknownInstanceError."""
        name = name.upper()
        size = len(self._registry.application(name))
        return await self._part(
            ("application", name, form, packs),
            lambda: self._states.get(name, 0),
            partial(self._application, name, form, packs=packs),
            is_long=size > _FEW,
        )

    async def behind_address(
        self, address: str, form: Form, *, is_secure: bool, packs: bool = False
    ) -> Answer:
        """The applications behind a virtual address; raises UnknownInstanceError."""
        size = len(self._registry.behind_address(address, is_secure=is_secure))
        return await self._part(
            ("svip" if is_secure else "vip", address, form, packs),
            lambda: self._registry.address_state(address, is_secure=is_secure),
            partial(self._behind, address, form, is_secure=is_secure, packs=packs),
            is_long=size > _FEW,
        )

    async def _part(
        self,
        question: Question,
        state: Callable[[], int],
        make: Callable[[], Awaitable[Answer]],
        *,
        is_long: bool,
    ) -> Answer:
        """The kept answer to a question about a part, or a new one; a long one is made once."""
        kept = self._kept.get(question, state())
        if kept is not None:
            return kept
        if is_long:
            async with self._turn:
                return await self._made_for(question, state, make)
        return await self._made_for(question, state, make)

    async def _made_for(
        self, question: Question, state: Callable[[], int], make: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        now = state()
        answer = self._kept.get(question, now)
        if answer is None:
            answer = await make()
            self._kept.put(question, now, answer)
        return answer

    async def _application(self, name: str, form: Form, *, packs: bool) -> Answer:
        infos = self._registry.application(name)
        if len(infos) > _FEW:
            answer = await self._book(Extent.WHOLE, form).application(name, packs=packs)
            if answer is not None:
                return answer
        body = form.codec.application(name, self._written(infos, form))
        return await _packed(body, form.codec.media_type, packs=packs)

    async def _behind(self, address: str, form: Form, *, is_secure: bool, packs: bool) -> Answer:
        infos = self._registry.behind_address(address, is_secure=is_secure)
        apps: dict[str, list[InstanceInfo]] = {}
        for info in infos:
            apps.setdefault(info.app, []).append(info)
        codec = form.codec
        body = codec.applications(
            "1",
            hash_code(info.status for info in infos),
            ((name, self._written(members, form)) for name, members in apps.items()),
        )
        return await _packed(body, codec.media_type, packs=packs)

    def instance(self, info: InstanceInfo, form: Form) -> Answer:
        """One instance."""
        fragment = form.codec.fragment(info, is_compact=form.is_compact)
        return Answer(body=form.codec.instance(fragment), media_type=form.codec.media_type)

    def stats(self) -> AnswerStats:
        """Numbers for the platform's own metrics."""
        return AnswerStats(
            lists=len(self._books),
            lists_made=self._made + sum(book.made for book in self._books.values()),
            fragments=len(self._fragments),
            small_answers_bytes=self._kept.size_bytes,
        )

    def _revision(self) -> int:
        return self._registry.revision

    def _heading(self, version: str, form: Form) -> bytes:
        return form.codec.heading(version, self._registry.tally.code())

    def _written(self, infos: Iterable[InstanceInfo], form: Form) -> list[bytes]:
        return [self._fragments.of(info, form) for info in infos]

    def _book(self, extent: Extent, form: Form) -> Book:
        book = self._books.get((extent, form))
        if book is None:
            if extent is Extent.WHOLE:
                book = Book(form, self._fragments, self._present)
                book.note((info.app, info.instance_id) for info in self._registry.infos())
            else:
                recent = self._registry.recent_changes
                book = Book(form, self._fragments, recent.of)
                book.note(recent.keys())
            self._books[extent, form] = book
        return book

    def _present(self, key: Key) -> InstanceInfo | None:
        lease = self._registry.lease_of(*key)
        return None if lease is None else lease.info

    def _heard(self, happening: Happening) -> None:
        if happening.deed is Deed.RENEWED:
            return
        info = happening.info
        key = (info.app, info.instance_id)
        present = self._present(key)
        if present is None:
            self._fragments.forget(*key)
        if self._registry.has_application(info.app):
            self._states[info.app] = self._registry.revision
        else:
            self._states.pop(info.app, None)
        for which, book in list(self._books.items()):
            book.note((key,))
            if book.backlog > 2 * len(self._registry) + _SPARE:
                self._made += book.made
                del self._books[which]  # nobody has asked for it for long


async def _packed(body: bytes, media_type: str, *, packs: bool) -> Answer:
    if not packs or len(body) < WORTH_PACKING_BYTES:
        return Answer(body=body, media_type=media_type)
    if len(body) < _PACKED_AT_ONCE_BYTES:
        packed = _gzip(body)
    else:
        packed = await anyio.to_thread.run_sync(partial(_gzip, body))
    return Answer(body=packed, media_type=media_type, is_packed=True)


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW, 9)
    return packer.compress(body) + packer.flush()
