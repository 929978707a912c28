"""The bytes of a title, cut into segments that anyone can compute and therefore check.

A segment is a SHAKE-128 stream keyed by title, rung and number: real traffic with a known content,
about 0.1 ms of CPU for 64 kB. Sizes grow with the rung but are far below real ones on purpose.
"""

import hashlib
import re
from typing import Final

import msgspec

from breakwater.reference.errors import UnknownItemError
from breakwater.reference.titles import Library, Rung, Title

INIT_BYTES: Final = 1024
MIN_BYTES: Final = 16 * 1024
MAX_BYTES: Final = 64 * 1024
_PATH = re.compile(r"(?P<title>[a-z0-9]{1,16})/(?P<rung>[a-z0-9]{1,8})/(?P<number>init|\d{1,6})")


class SegmentName(msgspec.Struct, frozen=True):
    """Which segment: `number` counts from 1; 0 is the initialization segment."""

    title: str
    rung: str
    number: int

    @property
    def path(self) -> str:
        """Where appliances and origin serve it, relative to their address."""
        number = f"{self.number}.m4s" if self.number else "init.mp4"
        return f"/v1/segments/{self.title}/{self.rung}/{number}"


def parse_segment(path: str) -> SegmentName:
    """Read `TITLE/RUNG/NUMBER.m4s` or `TITLE/RUNG/init.mp4`; raises UnknownItemError."""
    stem, _, suffix = path.rpartition(".")
    match = _PATH.fullmatch(stem)
    if match is None or suffix != ("mp4" if match["number"] == "init" else "m4s"):
        raise UnknownItemError(f"'{path[:80]}' names no segment; write TITLE/RUNG/NUMBER.m4s")
    number = 0 if match["number"] == "init" else int(match["number"])
    if number == 0 and suffix == "m4s":
        raise UnknownItemError("segments are numbered from 1; the initialization is init.mp4")
    return SegmentName(match["title"], match["rung"], number)


def segment_count(title: Title) -> int:
    """Media segments of a title; the last may be shorter than the others."""
    return -(-title.duration_ms // title.segment_ms)


def segment_durations_ms(title: Title) -> list[int]:
    """Length of every media segment in milliseconds; they sum to the title's duration."""
    count = segment_count(title)
    last = title.duration_ms - (count - 1) * title.segment_ms
    return [title.segment_ms] * (count - 1) + [last]


def segment_bytes(rung: Rung) -> int:
    """Size of every media segment of a rung, between 16 and 64 kB."""
    return min(MAX_BYTES, MIN_BYTES + rung.bandwidth_bps // 120)


def payload(library: Library, name: SegmentName) -> bytes:
    """The content of a segment; raises UnknownItemError for one the title does not have."""
    title = library.title(name.title)
    rung = title.rung(name.rung)
    if name.number > segment_count(title):
        raise UnknownItemError(
            f"title {title.id} has segments 1 to {segment_count(title)}, not {name.number}"
        )
    size = segment_bytes(rung) if name.number else INIT_BYTES
    return hashlib.shake_128(name.path.encode()).digest(size)
