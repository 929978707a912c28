"""A long list of instances, kept as pages of some sixty, so that a change costs one page.

Ten thousand instances are ten megabytes; packing them takes a tenth of a second. Here every page
keeps its packed form until one of its instances changes, and the answer is put together from them.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from breakwater.registry.eureka.packing import Part, part_of
from breakwater.registry.spelling.json_codec import JsonCodec
from breakwater.registry.spelling.xml_codec import XmlCodec

FULL: Final = 64
"""Instances on a page: more would make a change dearer, fewer the whole list."""
_SPARSE: Final = FULL // 4


class Frame(msgspec.Struct, frozen=True):
    """How a page stands in the list: after others, at the start and at the end of its shelf."""

    is_first: bool = True
    opens: bool = True
    closes: bool = True


class Page:
    """Some instances, application by application, and their packed form while it holds."""

    __slots__ = ("_codec", "_frame", "_part", "apps", "size")

    def __init__(self, codec: JsonCodec | XmlCodec) -> None:
        self._codec = codec
        self.apps: dict[str, dict[str, bytes]] = {}
        self.size = 0
        self._part: Part | None = None
        self._frame = Frame()

    def put(self, app: str, instance_id: str, fragment: bytes) -> None:
        """Write an instance here, or write it anew."""
        members = self.apps.setdefault(app, {})
        self.size += instance_id not in members
        members[instance_id] = fragment
        self._part = None

    def drop(self, app: str, instance_id: str) -> None:
        """Strike an instance that is here."""
        members = self.apps[app]
        del members[instance_id]
        if not members:
            del self.apps[app]
        self.size -= 1
        self._part = None

    def text(self, frame: Frame) -> bytes:
        """The page as it stands in the list."""
        codec = self._codec
        if frame.opens and frame.closes:
            apps = (codec.member(app, members.values()) for app, members in self.apps.items())
            text = codec.between.join(apps)
        else:
            (app, members), *_ = self.apps.items()
            before = codec.opening(app) if frame.opens else b""
            after = codec.closing if frame.closes else b""
            text = b"%b%b%b" % (before, codec.between.join(members.values()), after)
        return text if frame.is_first else codec.between + text

    def is_packed(self, frame: Frame) -> bool:
        """Whether the packed form holds in that place."""
        return self._part is not None and self._frame == frame

    def part(self, frame: Frame) -> Part:
        """The same packed; kept until the page or its place changes."""
        if self._part is None or self._frame != frame:
            self._part = part_of(self.text(frame))
            self._frame = frame
        return self._part


class Shelf:
    """Pages that stay together: one page of several applications, or all pages of one."""

    __slots__ = ("pages",)

    def __init__(self, page: Page) -> None:
        self.pages = [page]


class Pages:
    """The pages of one list; order within it is nobody's promise.

    Put and drop cost O(pages of the application), or O(pages) for a new application.
    """

    def __init__(self, codec: JsonCodec | XmlCodec) -> None:
        self._codec = codec
        self._shelves: dict[Shelf, None] = {}
        self._shelf_of: dict[str, Shelf] = {}
        self._page_of: dict[tuple[str, str], Page] = {}

    def __len__(self) -> int:
        """How many instances are in the list."""
        return len(self._page_of)

    def keys(self) -> set[tuple[str, str]]:
        """Application and id of every instance in the list."""
        return set(self._page_of)

    def put(self, app: str, instance_id: str, fragment: bytes) -> None:
        """Write an instance, or write it anew."""
        page = self._page_of.get((app, instance_id))
        if page is None:
            page = self._place_for(app)
            self._page_of[app, instance_id] = page
        page.put(app, instance_id, fragment)

    def drop(self, app: str, instance_id: str) -> None:
        """Strike an instance; one that is not there is no matter."""
        page = self._page_of.pop((app, instance_id), None)
        if page is None:
            return
        page.drop(app, instance_id)
        shelf = self._shelf_of[app]
        if not page.size:
            shelf.pages.remove(page)
        if not shelf.pages:
            del self._shelves[shelf]
        if not any(app in each.apps for each in shelf.pages):
            del self._shelf_of[app]
        if 0 < page.size < _SPARSE:
            self._thin_out(shelf, page)

    def frames(self) -> Iterator[tuple[Page, Frame]]:
        """Every page and how it stands, in the order of the list."""
        is_first = True
        for shelf in self._shelves:
            last = len(shelf.pages) - 1
            for at, page in enumerate(shelf.pages):
                yield page, Frame(is_first, at == 0, at == last)
                is_first = False

    def frames_of(self, app: str) -> Iterator[tuple[Page, Frame]] | None:
        """The pages of an application that has some of its own; None if it shares one."""
        shelf = self._shelf_of.get(app)
        if shelf is None or len(shelf.pages[0].apps) > 1:
            return None
        last = len(shelf.pages) - 1
        return ((page, Frame(at == 0, at == 0, at == last)) for at, page in enumerate(shelf.pages))

    def _place_for(self, app: str) -> Page:
        shelf = self._shelf_of.get(app)
        if shelf is None:
            shelf = self._shelf_of[app] = self._shelf_with_room(1)
        page = next((each for each in shelf.pages if each.size < FULL), None)
        if page is None and len(shelf.pages[0].apps) > 1:
            page = self._moved_out(app, shelf.pages[0])
        elif page is None:
            page = Page(self._codec)
            shelf.pages.append(page)
        return page

    def _shelf_with_room(self, size: int) -> Shelf:
        """A shelf for another application, with room for so many on its only page."""
        for shelf in self._shelves:
            if len(shelf.pages) == 1 and shelf.pages[0].size + size <= FULL:
                return shelf
        return self._new_shelf()

    def _new_shelf(self) -> Shelf:
        shelf = Shelf(Page(self._codec))
        self._shelves[shelf] = None
        return shelf

    def _moved_out(self, app: str, source: Page) -> Page:
        """Bring an application that shared a full page to another, where it has room to grow."""
        size = len(source.apps[app])
        shelf = self._shelf_with_room(min(size + 1 + size // 2, FULL))
        self._shelf_of[app] = shelf
        self._move(source, shelf.pages[0], app)
        return shelf.pages[0]

    def _move(self, source: Page, target: Page, app: str) -> None:
        for instance_id, fragment in list(source.apps[app].items()):
            source.drop(app, instance_id)
            target.put(app, instance_id, fragment)
            self._page_of[app, instance_id] = target

    def _thin_out(self, shelf: Shelf, page: Page) -> None:
        """Bring the few instances of `page` onto another page, if one has room."""
        if len(shelf.pages) > 1:
            others = [(shelf, each) for each in shelf.pages if each is not page]
        else:
            others = [
                (each, each.pages[0])
                for each in self._shelves
                if each is not shelf and len(each.pages) == 1
            ]
        for home, other in others:
            if other.size + page.size <= FULL:
                for app in list(page.apps):
                    self._move(page, other, app)
                    self._shelf_of[app] = home
                shelf.pages.remove(page)
                if not shelf.pages:
                    del self._shelves[shelf]
                return
