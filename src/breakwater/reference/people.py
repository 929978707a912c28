"""One viewer's evening, decided before it begins: a script drawn from a seed, then lived.

The script is pure data, so a run can be replayed; `live` performs it against anything that is a
`Theatre`, which in the player is the fleet over HTTP and in tests a few lines.
Time is compressed: a heartbeat stands for some minutes, a segment fetched for several.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from breakwater.reference.accounts import DEVICES
from breakwater.reference.segments import SegmentName
from breakwater.reference.services.playback import PlayAnswer
from breakwater.reference.steering import Ranked, SteeringAnswer

BROWSE_MEAN: Final = 2.5
BROWSE_MOST: Final = 4
START_SHARE: Final = 0.85
BEATS: Final = (1, 2, 3, 4, 5)
BEAT_S: Final = 1.5
THINK_S: Final = 0.7
SECONDS_PER_BEAT: Final = 240.0
APPLIANCES_TRIED: Final = 3
EDGE_REQUESTS_PER_PERSON: Final = BROWSE_MEAN + START_SHARE * (3.0 + sum(BEATS) / len(BEATS))
"""Expected edge requests of one undisturbed person: pages, then play, started, beats, stop."""

Sleep = Callable[[float], Awaitable[None]]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is going to do. shelf, place: which title they choose (0 to 1)."""

    account: str
    device: str
    zone: str
    format: Literal["hls", "dash"]
    pages: int
    will_play: bool
    beats: int
    segments_per_beat: tuple[int, ...]
    think_s: tuple[float, ...]
    shelf: float
    place: float


class Theatre(Protocol):
    """Where a script is performed."""

    async def home(self, script: Script) -> list[list[str]]:
        """The shelves of a page as title ids; empty when the page did not come."""
        ...

    async def play(self, script: Script, title: str) -> PlayAnswer | None:
        """Prepare a stream; None when it was refused or failed."""
        ...

    async def fetch(self, segment: SegmentName, appliance: Ranked) -> bool:
        """Fetch a segment from one appliance; whether its bytes came."""
        ...

    async def report(
        self, script: Script, stream: "Stream", kind: Literal["started", "heartbeat", "stop"]
    ) -> SteeringAnswer | None:
        """Tell the edge how the stream is doing; its answer to a heartbeat, None on failure."""
        ...

    def wanted(self, *, got: bool) -> None:
        """Somebody came to watch and got a stream, or did not, for whatever reason."""
        ...


class Stream:
    """A stream as its player sees it: where it is, where it fetches, and what failed lately."""

    def __init__(self, title: str, answer: PlayAnswer) -> None:
        self.title = title
        self.session = answer.session
        self.licence = answer.licence.token
        self.appliances: Sequence[Ranked] = answer.steering.appliances
        self.position_s = answer.resume_s
        self.failed: set[str] = set()
        self.has_started = False
        allowed = [r for r in answer.manifest.rungs if r.height <= answer.licence.max_height]
        self._rung = (allowed or list(answer.manifest.rungs))[-1]
        self._segments = answer.manifest.segments
        self._next = 1 + int(answer.resume_s * 1000 / answer.manifest.segment_ms) % self._segments

    def next_segment(self) -> SegmentName:
        """The segment to fetch now; a stream at its end begins again."""
        name = SegmentName(self.title, self._rung.id, self._next)
        self._next = self._next % self._segments + 1
        return name

    def follow(self, steering: SteeringAnswer | None) -> None:
        """Take over a newer steering answer; an empty one changes nothing."""
        if steering is not None and steering.appliances:
            self.appliances = steering.appliances


def draw_script(rng: random.Random, account: str, zones: Sequence[str]) -> Script:
    """A person's script; means are those EDGE_REQUESTS_PER_PERSON is computed from."""
    beats = rng.choice(BEATS)
    # Pages are 1 to 4 with mean 2.5, as are the draws of a fair four-sided die.
    return Script(
        account=account,
        device=rng.choices(DEVICES, weights=(5, 2, 3))[0],
        zone=rng.choice(zones),
        format="hls" if rng.random() < 0.6 else "dash",
        pages=rng.randint(1, BROWSE_MOST),
        will_play=rng.random() < START_SHARE,
        beats=beats,
        segments_per_beat=tuple(rng.choice((1, 1, 2)) for _ in range(beats)),
        think_s=tuple(THINK_S * rng.uniform(0.5, 1.5) for _ in range(BROWSE_MOST)),
        shelf=rng.random(),
        place=rng.random() ** 2,
    )


async def live(script: Script, theatre: Theatre, sleep: Sleep = asyncio.sleep) -> None:
    """Browse, choose, play, keep telling, stop; a person whose start fails gives up."""
    shelves: list[list[str]] = []
    for think_s in script.think_s[: script.pages]:
        shelves = await theatre.home(script) or shelves
        await sleep(think_s)
    if not script.will_play:
        return
    stream = await _begin(script, shelves, theatre) if shelves else None
    theatre.wanted(got=stream is not None)
    if stream is not None:
        await _watch(script, stream, theatre, sleep)
        await theatre.report(script, stream, "stop")


async def _begin(
    script: Script, shelves: Sequence[Sequence[str]], theatre: Theatre
) -> Stream | None:
    """Choose a title, ask for it, fetch its first segment and say so; None when that failed."""
    title = choose(shelves, script)
    answer = await theatre.play(script, title)
    if answer is None:
        return None
    stream = Stream(title, answer)
    stream.has_started = await fetch(stream, theatre)
    told = await theatre.report(script, stream, "started")
    return stream if stream.has_started and told is not None else None


async def _watch(script: Script, stream: Stream, theatre: Theatre, sleep: Sleep) -> None:
    for segments in script.segments_per_beat:
        await sleep(BEAT_S)
        for _ in range(segments):
            await fetch(stream, theatre)
        stream.position_s += SECONDS_PER_BEAT
        stream.follow(await theatre.report(script, stream, "heartbeat"))
        stream.failed.clear()


async def fetch(stream: Stream, theatre: Theatre) -> bool:
    """Fetch the next segment from the best appliance, else from the next ones of the answer."""
    segment = stream.next_segment()
    for appliance in stream.appliances[:APPLIANCES_TRIED]:
        if await theatre.fetch(segment, appliance):
            return True
        stream.failed.add(appliance.instance)
    return False


def choose(shelves: Sequence[Sequence[str]], script: Script) -> str:
    """The title this person picks: any shelf, the front of it more often."""
    shelf = shelves[int(script.shelf * len(shelves))]
    return shelf[int(script.place * len(shelf))]
