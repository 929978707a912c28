"""One long list in one form, brought up to date little by little and put together once a change."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import anyio
import anyio.lowlevel

from breakwater.registry.eureka.forms import Answer, Form
from breakwater.registry.eureka.fragments import Fragments
from breakwater.registry.eureka.packing import gzip_of, part_of
from breakwater.registry.eureka.pages import Frame, Page, Pages
from breakwater.registry.instance_info import InstanceInfo

WORTH_PACKING_BYTES: Final = 1_024
_AT_ONCE: Final = 32
"""Instances spelled, or eighths of pages packed, before others have their turn: 1 to 2 ms."""
_PAGE_COUNTS: Final = 8

Key = tuple[str, str]
LookUp = Callable[[Key], InstanceInfo | None]


class Book:
    """A list that knows which of its instances have changed since it was last written.

    `look_up` gives the present state of an instance, or None for one that is not in the list.
    """

    def __init__(self, form: Form, fragments: Fragments, look_up: LookUp) -> None:
        self.form = form
        self._fragments = fragments
        self._look_up = look_up
        self._changed: OrderedDict[Key, None] = OrderedDict()
        self._pages = Pages(form.codec)
        self._turn = anyio.Lock()
        self._answers: dict[bool, tuple[int, Answer]] = {}
        self.made = 0

    def note(self, keys: Iterable[Key]) -> None:
        """These instances have changed, come or gone."""
        self._changed.update(dict.fromkeys(keys))

    @property
    def backlog(self) -> int:
        """How many instances are to be looked at before the next answer."""
        return len(self._changed)

    def keys(self) -> set[Key]:
        """Every instance that is written here."""
        return self._pages.keys()

    def kept(self, state: int, *, packs: bool) -> Answer | None:
        """The answer made for `state`, if there is one."""
        held = self._answers.get(packs)
        return held[1] if held is not None and held[0] == state else None

    async def answer(
        self, state: Callable[[], int], heading: Callable[[], bytes], *, packs: bool
    ) -> Answer:
        """The whole list as of now; others have their turn while much is to be written."""
        async with self._turn:
            await self.catch_up(packs=packs)
            now = state()
            kept = self.kept(now, packs=packs)
            if kept is None:
                kept = self._put_together(heading(), packs=packs)
                self._answers[packs] = (now, kept)
            return kept

    async def application(self, name: str, *, packs: bool) -> Answer | None:
        """One application from its pages; None if it is too small to have some of its own."""
        async with self._turn:
            await self.catch_up(packs=packs)
            frames = self._pages.frames_of(name)
            if frames is None:
                return None
            before, after = self.form.codec.around_one
            return self._joined(before, frames, after, packs=packs)

    async def catch_up(self, *, packs: bool) -> None:
        """Write what has changed; on return nothing is left to do, and no other had a turn since.

        A few changes are written at once. After many, others have their turn in between.
        """
        done = 0
        while True:
            for _ in self._work(packs=packs):
                done += 1
                if done >= _AT_ONCE:
                    break
            else:
                return
            done = 0
            await anyio.lowlevel.checkpoint()

    def _work(self, *, packs: bool) -> Iterator[None]:
        while self._changed:
            key, _ = self._changed.popitem(last=False)
            self._write(key)
            yield
        if not packs:
            return
        for page, frame in self._pages.frames():
            if not page.is_packed(frame):
                page.part(frame)
                for _ in range(_PAGE_COUNTS):
                    yield

    def _write(self, key: Key) -> None:
        info = self._look_up(key)
        if info is None:
            self._pages.drop(*key)
        else:
            self._pages.put(*key, self._fragments.of(info, self.form))

    def _put_together(self, heading: bytes, *, packs: bool) -> Answer:
        self.made += 1
        return self._joined(heading, self._pages.frames(), self.form.codec.ending, packs=packs)

    def _joined(
        self, before: bytes, frames: Iterable[tuple[Page, Frame]], after: bytes, *, packs: bool
    ) -> Answer:
        framed = list(frames)
        media_type = self.form.codec.media_type
        if packs:
            parts = [part_of(before), *(page.part(frame) for page, frame in framed), part_of(after)]
            if sum(part.size for part in parts) >= WORTH_PACKING_BYTES:
                return Answer(body=gzip_of(parts), media_type=media_type, is_packed=True)
        body = b"".join((before, *(page.text(frame) for page, frame in framed), after))
        return Answer(body=body, media_type=media_type)
