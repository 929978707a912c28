"""HLS is read back with the m3u8 package, DASH is held to its structural rules."""

import re
from xml.etree import ElementTree as ET

import m3u8
import pytest

from breakwater.reference import dash, hls
from breakwater.reference.segments import parse_segment, segment_count
from breakwater.reference.titles import AUDIO, Title, generate_titles

TITLES = generate_titles(1, 25)
NS = {"mpd": dash.NAMESPACE}


def _multivariant(title: Title, height: int = 2160) -> m3u8.M3U8:
    text = hls.multivariant_playlist(
        title, ["a", "b"], max_height=height, steering_uri="/v1/steering"
    )
    return m3u8.loads(text)


@pytest.mark.parametrize("title", TITLES, ids=lambda t: t.id)
def test_the_multivariant_playlist_lists_every_rung_on_every_pathway(title: Title) -> None:
    """Each pathway offers the same rungs, with an audio group of its own that exists."""
    playlist = _multivariant(title)
    assert playlist.is_variant
    heights = {"a": [], "b": []}  # type: dict[str, list[int]]
    for variant in playlist.playlists:
        pathway = variant.stream_info.pathway_id
        heights[pathway].append(variant.stream_info.resolution[1])
        assert variant.stream_info.audio == f"audio-{pathway}"
        assert variant.stream_info.average_bandwidth < variant.stream_info.bandwidth
        assert AUDIO.codecs in variant.stream_info.codecs
        assert variant.uri.endswith(f"?pathway={pathway}")
    assert heights["a"] == heights["b"] == [r.height for r in title.ladder if r.height]
    assert [media.group_id for media in playlist.media] == ["audio-a", "audio-b"]
    assert playlist.content_steering.uri == "/v1/steering"
    assert playlist.content_steering.pathway_id == "a"


@pytest.mark.parametrize("title", TITLES, ids=lambda t: t.id)
def test_the_media_playlist_is_a_complete_recording(title: Title) -> None:
    """It ends, starts with an initialization, and its lengths add up to the title's."""
    playlist = m3u8.loads(hls.media_playlist(title, title.ladder[0], "http://cdn:1"))
    assert playlist.is_endlist
    assert playlist.playlist_type == "vod"
    assert len(playlist.segments) == segment_count(title)
    total_ms = sum(round(segment.duration * 1000) for segment in playlist.segments)
    assert total_ms == title.duration_ms
    assert max(s.duration for s in playlist.segments) <= playlist.target_duration
    assert playlist.segment_map[0].uri.endswith("/init.mp4")


def test_every_segment_uri_is_one_the_appliances_serve() -> None:
    """What the playlist links to parses as a segment of that title and rung, in order."""
    title = TITLES[0]
    playlist = m3u8.loads(hls.media_playlist(title, AUDIO))
    names = [parse_segment(s.uri.removeprefix("/v1/segments/")) for s in playlist.segments]
    assert [name.number for name in names] == list(range(1, segment_count(title) + 1))
    assert {(name.title, name.rung) for name in names} == {(title.id, AUDIO.id)}


@pytest.mark.parametrize(("height", "tallest"), [(2160, 2160), (720, 720), (100, 240)])
def test_a_licence_height_bounds_the_ladder(height: int, tallest: int) -> None:
    """No rung above the allowed height is offered, and the lowest always is."""
    title = next(t for t in TITLES if any(r.height == 2160 for r in t.ladder))
    heights = [v.stream_info.resolution[1] for v in _multivariant(title, height).playlists]
    assert max(heights) == tallest
    assert min(heights) == 240


@pytest.mark.parametrize("title", TITLES, ids=lambda t: t.id)
def test_the_presentation_follows_the_structure_of_dash(title: Title) -> None:
    """Static MPD with profile and duration, one period of that length, two adaptation sets."""
    root = ET.fromstring(
        dash.presentation(title, {"a": "http://h:1", "b": "http://h:2"}, max_height=2160)
    )
    assert root.tag == f"{{{dash.NAMESPACE}}}MPD"
    assert root.get("type") == "static"
    assert root.get("profiles") == dash.PROFILE
    assert _seconds(root.get("mediaPresentationDuration")) == title.duration_ms / 1000
    assert [b.get("serviceLocation") for b in root.findall("mpd:BaseURL", NS)] == ["a", "b"]
    children = [child.tag.rpartition("}")[2] for child in root]
    assert children == ["ProgramInformation", "BaseURL", "BaseURL", "Period"]
    period = root.find("mpd:Period", NS)
    assert period is not None
    assert _seconds(period.get("duration")) == title.duration_ms / 1000
    sets = period.findall("mpd:AdaptationSet", NS)
    assert [s.get("contentType") for s in sets] == ["video", "audio"]
    assert [s.get("mimeType") for s in sets] == ["video/mp4", "audio/mp4"]
    ids = [r.get("id") for s in sets for r in s.findall("mpd:Representation", NS)]
    assert ids == [rung.id for rung in title.ladder]


@pytest.mark.parametrize("title", TITLES, ids=lambda t: t.id)
def test_the_timeline_covers_the_presentation_without_gaps(title: Title) -> None:
    """Expanding every S element gives as many segments as there are, end to end, to the end."""
    root = ET.fromstring(dash.presentation(title, {}, max_height=2160))
    for template in root.iterfind(".//mpd:SegmentTemplate", NS):
        assert template.get("timescale") == "1000"
        at_ms, count = 0, 0
        for entry in template.iterfind(".//mpd:S", NS):
            repeats = int(entry.get("r", "0")) + 1
            assert int(entry.get("t", "-1")) == at_ms
            at_ms += repeats * int(entry.get("d", "0"))
            count += repeats
        assert (at_ms, count) == (title.duration_ms, segment_count(title))
        media = str(template.get("media")).replace("$RepresentationID$", "v240")
        name = parse_segment(media.replace("$Number$", "1").removeprefix("v1/segments/"))
        assert (name.title, name.number) == (title.id, 1)


def test_text_from_outside_cannot_break_the_document() -> None:
    """Names and addresses with markup in them are escaped."""
    text = dash.presentation(TITLES[0], {'a"<': "http://h/?x=1&y=2"}, max_height=2160)
    root = ET.fromstring(text)
    base = root.find("mpd:BaseURL", NS)
    assert base is not None
    assert base.get("serviceLocation") == 'a"<'
    assert base.text == "http://h/?x=1&y=2/"


def _seconds(duration: str | None) -> float:
    match = re.fullmatch(r"PT(\d+\.\d{3})S", duration or "")
    assert match is not None
    return float(match[1])
