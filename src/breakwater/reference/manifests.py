"""What a player reads before it fetches anything: a title's manifest, and what goes with it. Pure.

The manifest service writes them; playback can, too, from the titles shipped with the code, when
nobody answers there: titles do not change, so such a manifest is as good, only without those that
came after the code was built.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from breakwater.model import Instance
from breakwater.reference import dash, hls
from breakwater.reference.entitlements import DEVICE_HEIGHT
from breakwater.reference.segments import segment_count
from breakwater.reference.titles import Rung, Title

Format = Literal["hls", "dash"]
FORMATS: Final[tuple[Format, ...]] = ("hls", "dash")
NO_ZONE: Final = "any"
TALLEST: Final = 2160
STEERING_URI: Final = "/v1/steering"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest, and what a player needs beside it to fetch the title's segments."""

    title: str
    format: str
    media_type: str
    text: str
    rungs: tuple[Rung, ...]
    segments: int
    segment_ms: int


def write_manifest(
    title: Title, kind: Format, device: str, appliances: Iterable[Instance]
) -> Manifest:
    """The manifest of a title for a kind of device; an unknown kind gets every rung."""
    height = DEVICE_HEIGHT.get(device, TALLEST)
    write = hls_text if kind == "hls" else dash_text
    return Manifest(
        title=title.id,
        format=kind,
        media_type=hls.MEDIA_TYPE if kind == "hls" else dash.MEDIA_TYPE,
        text=write(title, height, appliances),
        rungs=tuple(hls.video_rungs(title, height)),
        segments=segment_count(title),
        segment_ms=title.segment_ms,
    )


def hls_text(title: Title, height: int, appliances: Iterable[Instance]) -> str:
    """The multivariant playlist, with one pathway for each zone of appliances."""
    pathways = sorted(address_of_zone(appliances)) or [NO_ZONE]
    return hls.multivariant_playlist(title, pathways, max_height=height, steering_uri=STEERING_URI)


def dash_text(title: Title, height: int, appliances: Iterable[Instance]) -> str:
    """The presentation description, with one base address for each zone of appliances."""
    return dash.presentation(title, address_of_zone(appliances), max_height=height)


def address_of_zone(appliances: Iterable[Instance]) -> dict[str, str]:
    """The address of one appliance per zone, the first by name."""
    found: dict[str, str] = {}
    for one in sorted(appliances, key=lambda instance: instance.instance_id):
        found.setdefault(one.zone or NO_ZONE, f"http://{one.host}:{one.port}")
    return found
