"""HTTP Live Streaming playlists of a title (RFC 8216 and its second edition's content steering).

The multivariant playlist lists every allowed rung once per pathway; a pathway is a zone of CDN
appliances, and the steering server's answer orders pathways. Segments are fragmented MP4.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

from breakwater.reference.segments import SegmentName, segment_durations_ms
from breakwater.reference.titles import AUDIO, Rung, Title

MEDIA_TYPE: Final = "application/vnd.apple.mpegurl"
_VERSION: Final = "#EXT-X-VERSION:7"


def multivariant_playlist(
    title: Title, pathways: Sequence[str], *, max_height: int, steering_uri: str
) -> str:
    """The playlist of playlists; `pathways` must not be empty, the first is the default."""
    lines = [
        "#EXTM3U",
        _VERSION,
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-CONTENT-STEERING:SERVER-URI="{steering_uri}",PATHWAY-ID="{pathways[0]}"',
    ]
    lines += [_audio(title, pathway) for pathway in pathways]
    for pathway in pathways:
        for rung in video_rungs(title, max_height):
            lines += _variant(title, rung, pathway)
    return "\n".join(lines) + "\n"


def media_playlist(title: Title, rung: Rung, base_url: str = "") -> str:
    """The playlist of one rung: every segment with its length, ended, as a recording has it.

    base_url: address of the appliance that serves the segments; empty keeps the URIs relative.
    """
    durations_ms = segment_durations_ms(title)
    lines = [
        "#EXTM3U",
        _VERSION,
        f"#EXT-X-TARGETDURATION:{ceil(max(durations_ms) / 1000)}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f'#EXT-X-MAP:URI="{base_url}{SegmentName(title.id, rung.id, 0).path}"',
    ]
    for number, duration_ms in enumerate(durations_ms, start=1):
        lines.append(f"#EXTINF:{duration_ms / 1000:.3f},")
        lines.append(base_url + SegmentName(title.id, rung.id, number).path)
    lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def video_rungs(title: Title, max_height: int) -> list[Rung]:
    """The video rungs a licence of `max_height` lines may show; the lowest is always allowed."""
    rungs = [rung for rung in title.ladder if rung.height]
    return [rung for rung in rungs if rung.height <= max_height] or rungs[:1]


def _audio(title: Title, pathway: str) -> str:
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-{pathway}",NAME="Original",LANGUAGE="en",'
        f'DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="{_playlist_uri(title, AUDIO, pathway)}"'
    )


def _variant(title: Title, rung: Rung, pathway: str) -> list[str]:
    peak_bps = rung.bandwidth_bps + AUDIO.bandwidth_bps
    stream = (
        f"#EXT-X-STREAM-INF:BANDWIDTH={peak_bps * 11 // 10},AVERAGE-BANDWIDTH={peak_bps},"
        f'CODECS="{rung.codecs},{AUDIO.codecs}",RESOLUTION={rung.width}x{rung.height},'
        f'FRAME-RATE=25.000,AUDIO="audio-{pathway}",PATHWAY-ID="{pathway}"'
    )
    return [stream, _playlist_uri(title, rung, pathway)]


def _playlist_uri(title: Title, rung: Rung, pathway: str) -> str:
    return f"/v1/titles/{title.id}/hls/{rung.id}.m3u8?pathway={pathway}"
