import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from breakwater.drill.commands import prove
from breakwater.drill.errors import UnknownScenarioError
from breakwater.drill.plan import SERVICES
from breakwater.drill.proof import (
    FAULTS,
    GOAL_PERCENT,
    MASKED,
    Proof,
    Reading,
    Run,
    Track,
    judge,
    run_of,
)
from breakwater.drill.proof_picture import proof_svg, smoothed
from breakwater.drill.prove import check_wishes
from breakwater.render import png

RATES = st.floats(0.1, 100)


def _reading(sps: float = 6.0, wanted: float = 6.0, edge: float = 100.0) -> Reading:
    return Reading(seconds=20, sps=sps, wanted=wanted, served=sps, edge_percent=edge)


def _run(share: float, *, before_s: int = 5, down_s: int = 10, after_s: int = 5) -> Run:
    """An outage in which this share of the people got a stream, of 8 a second."""
    shares = [1.0] * before_s + [share] * down_s + [1.0] * after_s
    count = len(shares)
    calls = [20.0 * (before_s <= at < before_s + down_s) for at in range(count)]
    track = Track(
        start_ms=1_000_000,
        sps=[8.0 * one for one in shares],
        wanted=[8.0] * count,
        served=[8.0 * one for one in shares],
        edge=[60.0] * count,
        edge_good=[60.0 * one for one in shares],
        fallbacks=calls,
        short_circuited=calls,
    )
    return run_of(track, before_s=before_s, down_s=down_s)


@given(RATES, st.integers(1, 600))
def test_as_before_holds_at_any_rate(rate: float, seconds: int) -> None:
    """An outage in which nothing changes for anybody holds, however much or little there is."""
    same = Reading(seconds=seconds, sps=rate, wanted=rate, served=rate, edge_percent=99.5)
    assert judge(same, same).holds


@given(RATES, RATES)
def test_more_or_fewer_people_do_not_decide(before: float, after: float) -> None:
    """People come by chance: that everybody who came was served is what counts."""
    holding = judge(_reading(before, before), _reading(after, after))
    assert holding.starts_percent == pytest.approx(100.0)
    assert holding.holds == (after >= holding.lowest_sps or after >= before)


@pytest.mark.parametrize(
    ("down", "holds"),
    [
        (_reading(sps=5.95), True),
        (_reading(sps=5.93), False),
        (_reading(edge=99.0), True),
        (_reading(edge=98.9), False),
        (_reading(sps=0.5, wanted=0.5), False),
        (_reading(sps=0.0, wanted=0.0), False),
    ],
)
def test_one_percent_is_the_limit(*, down: Reading, holds: bool) -> None:
    """Of streams and of edge answers; and people who never get as far as asking are missed too."""
    assert judge(_reading(), down).holds is holds


def test_nothing_before_proves_nothing() -> None:
    """A fleet without a start before the fault cannot be said to have held."""
    nothing = _reading(0.0, 0.0, 0.0)
    assert not judge(nothing, nothing).holds


def test_a_run_is_read_from_the_first_second_of_the_fault_to_the_last() -> None:
    """What the callers need to find out counts; what comes after the repair does not."""
    run = _run(0.5)
    assert (run.before.sps, run.down.sps) == (8.0, 4.0)
    assert (run.before.seconds, run.down.seconds) == (5, 10)
    assert (run.before.fallbacks, run.down.fallbacks) == (0.0, 20.0)
    assert run.holding.starts_percent == 50.0
    assert run.holding.edge_percent == 50.0
    assert not run.holding.holds
    assert _run(1.0).holding.holds


def test_what_is_masked_exists_and_the_licence_is_not_among_it() -> None:
    """The default targets are services of the fleet; a licence cannot be masked."""
    assert set(MASKED) <= set(SERVICES)
    assert "licence" not in MASKED
    check_wishes(SERVICES, "crash")


@pytest.mark.parametrize(
    ("targets", "fault", "known"),
    [(("nobody",), "hang", "known: gateway, account"), (("ranker",), "fire", "hang, errors")],
)
def test_what_cannot_be_broken_is_refused(targets: tuple[str, ...], fault: str, known: str) -> None:
    """Before anything is started, with the list of what there is."""
    with pytest.raises(UnknownScenarioError, match=known):
        check_wishes(targets, fault)


def test_every_fault_hits_all_there_is() -> None:
    """Each names every instance or every request, so that the dependency is wholly down."""
    for kind, details in FAULTS.values():
        assert kind
        assert details.get("percent") == 100 or details.get("all_instances")


def test_a_fall_is_not_drawn_before_its_cause() -> None:
    """The curve is a mean of what was, never of what is to come."""
    drawn = smoothed([6.0] * 10 + [0.0] * 10)
    assert list(drawn[:10]) == [6.0] * 10
    assert list(drawn[10:16]) == pytest.approx([4.8, 3.6, 2.4, 1.2, 0.0, 0.0])


@pytest.mark.parametrize("bare", [None, _run(0.1), _run(0.1, after_s=2)])
def test_a_proof_can_be_drawn(bare: Run | None) -> None:
    """With and without the contrast, which may have been cut short."""
    kept = _run(1.0)
    proof = Proof(target="ranker", fault="hang", kept=kept, bare=bare)
    assert proof.holds
    svg = proof_svg(proof)
    ET.fromstring(svg)
    assert "ranker is down" in svg
    assert ("without fallbacks (10.0 %)" in svg) == (bare is not None)
    assert png(svg).startswith(b"\x89PNG")


def test_the_command_says_what_it_needs() -> None:
    """Help names the exit code's meaning and every fault."""
    said = CliRunner().invoke(prove, ["--help"]).output
    assert "99 percent" in said
    for fault in FAULTS:
        assert fault in said


@pytest.mark.slow
def test_people_get_their_streams_while_the_ranker_is_down(tmp_path: Path) -> None:
    """Real platform, real fleet, every ranker hanging: exit code 0, the proof and its picture."""
    options = ["--target", "ranker", "--down", "10", "--no-contrast", "--rps", "40", "--json"]
    played = subprocess.run(
        [sys.executable, "-m", "breakwater.cli", "prove", *options, "--pictures", str(tmp_path)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert played.returncode == 0, played.stderr[-3000:]
    (proof,) = json.loads(played.stdout)["proofs"]
    assert proof["kept"]["holding"]["starts_percent"] >= GOAL_PERCENT
    assert proof["kept"]["down"]["fallbacks"] > 0
    assert (tmp_path / "prove-ranker-hang.png").read_bytes().startswith(b"\x89PNG")
