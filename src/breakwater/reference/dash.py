"""The MPEG-DASH presentation description of a title (ISO/IEC 23009-1, static, templated).

One period, one video and one audio adaptation set; segment times are written as a timeline, so
that a shorter last segment is described exactly. Each BaseURL is one appliance zone.
"""

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from breakwater.reference.hls import video_rungs
from breakwater.reference.segments import segment_durations_ms
from breakwater.reference.titles import AUDIO, Rung, Title

MEDIA_TYPE: Final = "application/dash+xml"
NAMESPACE: Final = "urn:mpeg:dash:schema:mpd:2011"
PROFILE: Final = "urn:mpeg:dash:profile:isoff-live:2011"
_CHANNELS: Final = (
    "<AudioChannelConfiguration "
    'schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>'
)


def presentation(title: Title, base_urls: Mapping[str, str], *, max_height: int) -> str:
    """The MPD document; `base_urls` maps a service location (zone) to an appliance's address."""
    duration = _duration(title.duration_ms)
    bases = "".join(
        f"<BaseURL serviceLocation={quoteattr(zone)}>{escape(url)}/</BaseURL>"
        for zone, url in base_urls.items()
    )
    video = "".join(_video(rung) for rung in video_rungs(title, max_height))
    audio = (
        f'<Representation id="{AUDIO.id}" bandwidth="{AUDIO.bandwidth_bps}" '
        f'codecs="{AUDIO.codecs}" audioSamplingRate="48000">{_CHANNELS}</Representation>'
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<MPD xmlns="{NAMESPACE}" profiles="{PROFILE}" type="static" '
        f'mediaPresentationDuration="{duration}" minBufferTime="{_duration(title.segment_ms)}" '
        f'maxSegmentDuration="{_duration(title.segment_ms)}">'
        f"<ProgramInformation><Title>{escape(title.name)}</Title></ProgramInformation>{bases}"
        f'<Period id="1" start="PT0S" duration="{duration}">'
        f"{_adaptation_set(title, 1, 'video', video)}{_adaptation_set(title, 2, 'audio', audio)}"
        "</Period></MPD>\n"
    )


def _adaptation_set(title: Title, number: int, kind: str, representations: str) -> str:
    language = ' lang="en"' if kind == "audio" else ""
    return (
        f'<AdaptationSet id="{number}" contentType="{kind}" mimeType="{kind}/mp4"{language} '
        f'segmentAlignment="true" startWithSAP="1">'
        f"{_segment_template(title)}{representations}</AdaptationSet>"
    )


def _segment_template(title: Title) -> str:
    durations_ms = segment_durations_ms(title)
    path = f"v1/segments/{title.id}/$RepresentationID$"
    whole = len(durations_ms) - 1
    repeated = f'<S t="0" d="{title.segment_ms}" r="{whole - 1}"/>' if whole else ""
    last = f'<S t="{whole * title.segment_ms}" d="{durations_ms[-1]}"/>'
    return (
        f'<SegmentTemplate timescale="1000" startNumber="1" initialization="{path}/init.mp4" '
        f'media="{path}/$Number$.m4s"><SegmentTimeline>{repeated}{last}</SegmentTimeline>'
        "</SegmentTemplate>"
    )


def _video(rung: Rung) -> str:
    return (
        f'<Representation id="{rung.id}" bandwidth="{rung.bandwidth_bps}" codecs="{rung.codecs}" '
        f'width="{rung.width}" height="{rung.height}" frameRate="25" sar="1:1"/>'
    )


def _duration(milliseconds: int) -> str:
    return f"PT{milliseconds / 1000:.3f}S"
