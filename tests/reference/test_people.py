"""People follow their script."""

import random
from statistics import fmean
from typing import Literal

import pytest

from breakwater.reference.arrivals import MAX_BACKLOG_S, Arrivals, check_rps
from breakwater.reference.entitlements import Licence
from breakwater.reference.errors import MalformedRequestError
from breakwater.reference.manifests import Manifest
from breakwater.reference.people import (
    EDGE_REQUESTS_PER_PERSON,
    Script,
    Stream,
    choose,
    draw_script,
    live,
)
from breakwater.reference.segments import SegmentName
from breakwater.reference.services.playback import PlayAnswer
from breakwater.reference.steering import Ranked, SteeringAnswer
from breakwater.reference.throughput import Rate
from breakwater.reference.titles import VIDEO_RUNGS
from breakwater.testing import FakeClock

CDNS = tuple(Ranked(instance=f"cdn-{n}", zone="a", url="", penalty=0.0) for n in range(4))


def _answer() -> PlayAnswer:
    return PlayAnswer(
        session="s1",
        resume_s=0.0,
        licence=Licence(token="signed", max_height=720),
        manifest=Manifest(
            title="t1", format="hls", media_type="", text="", rungs=VIDEO_RUNGS, segments=3,
            segment_ms=4000,
        ),
        steering=SteeringAnswer(appliances=CDNS),
    )  # fmt: skip


class Stage:
    """A theatre that writes down what happens; `broken` names what fails in it."""

    def __init__(self, *broken: str) -> None:
        """Nothing has happened yet."""
        self.broken = broken
        self.acts: list[str] = []
        self.outcomes: list[bool] = []

    def wanted(self, *, got: bool) -> None:
        """Somebody came to watch."""
        self.outcomes.append(got)

    async def home(self, script: Script) -> list[list[str]]:
        """A page of two shelves."""
        self.acts.append("home")
        return [] if "home" in self.broken else [["t1", "t2"], ["t3"]]

    async def play(self, script: Script, title: str) -> PlayAnswer | None:
        """A stream."""
        self.acts.append("play")
        return None if "play" in self.broken else _answer()

    async def fetch(self, segment: SegmentName, appliance: Ranked) -> bool:
        """Bytes."""
        self.acts.append(f"{appliance.instance}:{segment.number}")
        return appliance.instance not in self.broken

    async def report(
        self, script: Script, stream: Stream, kind: Literal["started", "heartbeat", "stop"]
    ) -> SteeringAnswer | None:
        """An acknowledgement."""
        told = "" if stream.has_started else " failure"
        self.acts.append(f"{kind}{told}{''.join(sorted(stream.failed))}")
        return None if kind in self.broken else SteeringAnswer()


def _script(**changes: object) -> Script:
    values: dict[str, object] = {
        "account": "a1", "device": "tv", "zone": "a", "format": "hls", "pages": 2,
        "will_play": True, "beats": 2, "segments_per_beat": (1, 2), "think_s": (0.1,) * 4,
        "shelf": 0.0, "place": 0.0,
    }  # fmt: skip
    return Script(**{**values, **changes})  # type: ignore[arg-type] # fields by name


async def _nap(seconds: float) -> None:
    assert seconds > 0


async def _acts(*broken: str, **changes: object) -> list[str]:
    stage = Stage(*broken)
    await live(_script(**changes), stage, _nap)
    return stage.acts


@pytest.mark.anyio
async def test_an_undisturbed_evening() -> None:
    """Browse, play, first segment, started, then segments and a heartbeat each beat, stop."""
    assert await _acts() == [
        "home", "home", "play", "cdn-0:1", "started",
        "cdn-0:2", "heartbeat", "cdn-0:3", "cdn-0:1", "heartbeat", "stop",
    ]  # fmt: skip


@pytest.mark.anyio
async def test_a_person_may_only_browse() -> None:
    """Who does not want to play asks for pages and leaves."""
    assert await _acts(will_play=False) == ["home", "home"]


@pytest.mark.anyio
async def test_without_a_page_there_is_nothing_to_play() -> None:
    """Nobody chooses from a page that never came."""
    assert await _acts("home") == ["home", "home"]


@pytest.mark.anyio
async def test_a_refused_start_ends_the_evening() -> None:
    """No session, so nothing to report; the edge has counted the failure itself."""
    assert await _acts("play") == ["home", "home", "play"]


@pytest.mark.anyio
@pytest.mark.parametrize("broken", ["", "home", "play", "cdn-0 cdn-1 cdn-2 cdn-3", "started"])
async def test_whoever_came_to_watch_is_counted_once(broken: str) -> None:
    """Whatever keeps a stream from beginning counts, a page that never came too."""
    stage = Stage(*broken.split())
    await live(_script(), stage, _nap)
    assert stage.outcomes == [not broken]
    await live(_script(will_play=False), stage, _nap)
    assert len(stage.outcomes) == 1


@pytest.mark.anyio
async def test_a_dead_appliance_is_passed_over_and_told_of() -> None:
    """The next appliance serves, and the next report names the one that failed."""
    acts = await _acts("cdn-0", pages=1, segments_per_beat=(1,))
    assert acts == [
        "home", "play", "cdn-0:1", "cdn-1:1", "startedcdn-0",
        "cdn-0:2", "cdn-1:2", "heartbeatcdn-0", "stop",
    ]  # fmt: skip


@pytest.mark.anyio
async def test_a_start_without_bytes_is_reported_as_failed() -> None:
    """When no appliance gives the first segment the player says so and gives up."""
    acts = await _acts("cdn-0", "cdn-1", "cdn-2", "cdn-3", pages=1)
    assert acts[-1] == "started failurecdn-0cdn-1cdn-2"
    assert "heartbeat" not in acts


@pytest.mark.anyio
async def test_a_failed_heartbeat_does_not_stop_the_film() -> None:
    """Reports that fail change nothing for the viewer."""
    acts = await _acts("heartbeat")
    assert acts.count("heartbeat") == 2
    assert acts[-1] == "stop"


def test_a_stream_stays_within_its_licence() -> None:
    """The tallest rung the licence allows is fetched."""
    assert Stream("t1", _answer()).next_segment() == SegmentName("t1", "v720", 1)


def test_an_empty_steering_answer_changes_nothing() -> None:
    """A player keeps the order it has until it is given another."""
    stream = Stream("t1", _answer())
    stream.follow(None)
    stream.follow(SteeringAnswer())
    assert stream.appliances == CDNS
    stream.follow(SteeringAnswer(appliances=CDNS[2:]))
    assert stream.appliances == CDNS[2:]


def test_scripts_repeat_and_have_the_mean_that_load_is_computed_from() -> None:
    """One seed gives one crowd; its edge requests per person are as stated, to 3 %."""

    def crowd(seed: int) -> list[Script]:
        rng = random.Random(seed)
        return [draw_script(rng, "a1", ("a", "b")) for _ in range(4000)]

    people = crowd(1)
    assert people == crowd(1)
    assert people != crowd(2)
    requests = fmean(p.pages + p.will_play * (3 + p.beats) for p in people)
    assert requests == pytest.approx(EDGE_REQUESTS_PER_PERSON, rel=0.03)


def test_a_choice_is_always_on_the_page() -> None:
    """The extremes of the draw are titles too."""
    shelves = [["t1", "t2"], ["t3"]]
    assert choose(shelves, _script(shelf=0.0, place=0.0)) == "t1"
    assert choose(shelves, _script(shelf=0.999, place=0.999)) == "t3"


def test_arrivals_keep_their_mean_rate() -> None:
    """Over a long time as many people arrive as asked for, however often one looks."""
    clock = FakeClock()
    arrivals = Arrivals(random.Random(1), clock, 20.0)
    total = 0
    for _ in range(2000):
        clock.advance(0.1)
        total += arrivals.due()
    assert total == pytest.approx(4000, rel=0.05)


def test_a_stall_is_not_made_up_for() -> None:
    """After a stop of the whole process at most one second's people come at once."""
    clock = FakeClock()
    arrivals = Arrivals(random.Random(1), clock, 20.0)
    clock.advance(100.0)
    assert arrivals.due() < 3 * 20.0 * MAX_BACKLOG_S


def test_a_new_rate_holds_at_once() -> None:
    """From nobody to somebody and back without waiting for an arrival drawn before."""
    clock = FakeClock()
    arrivals = Arrivals(random.Random(1), clock, 0.0)
    assert arrivals.wait_s() == float("inf")
    arrivals.set_rate(10.0)
    assert arrivals.wait_s() < 5.0
    arrivals.set_rate(0.0)
    clock.advance(50.0)
    assert arrivals.due() == 0


@pytest.mark.parametrize("rps", [-1.0, 1e9, float("nan")])
def test_impossible_targets_are_refused(rps: float) -> None:
    """The message names the bounds."""
    with pytest.raises(MalformedRequestError, match="0 to 2000"):
        check_rps(rps)


def test_a_rate_is_the_mean_of_the_last_whole_seconds() -> None:
    """Steady counting gives the steady rate, and silence brings it to zero."""
    clock = FakeClock()
    rate = Rate(clock, span_s=5)
    for _ in range(40):
        clock.advance(0.25)
        rate.add(2.0)
    assert rate.per_second() == pytest.approx(8.0)
    clock.advance(10.0)
    assert rate.per_second() == 0.0
    assert rate.total == 80.0
