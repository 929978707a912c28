"""Suggestions for the commands of a service, from what was recorded or from their streams."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs
from tests.guards.hosts import platform, recorded_hosts

from breakwater.guards import GuardView
from breakwater.guards.advice import Advice, advise, questions, rows
from breakwater.guards.commands import guard
from breakwater.guards.view import CircuitState, CommandView, ServiceGuards
from breakwater.model.percentiles import timer_tag

STEPS = 60


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A platform that watches recorded hosts of Hystrix, which write no meters."""
    with capture_logs(), recorded_hosts() as instances, platform(instances, tmp_path) as where:
        yield where


def graph(*lines: tuple[dict[str, str], list[float]]) -> bytes:
    """An answer of `/api/v1/graph`, one step a minute; a step without a value is NaN."""
    columns = [[*values, *["NaN"] * (STEPS - len(values))] for _, values in lines]
    told: dict[str, Any] = {
        "start": 0,
        "step": 60_000,
        "metrics": [{"name": "guard", **tags} for tags, _ in lines],
        "values": [list(row) for row in zip(*columns, strict=True)],
    }
    return json.dumps(told).encode()


def answers(rate: float = 50.0, slow_s: float = 0.1) -> dict[str, bytes]:
    """Two instances, one call in a hundred slow, one busy minute."""
    usual, slow = timer_tag(0.01), timer_tag(slow_s)
    both = 2 * rate
    return {
        "buckets": graph(
            ({"guard": "rank", "percentile": usual}, [both * 0.98] * STEPS),
            ({"guard": "rank", "percentile": slow}, [both * 0.02] * STEPS),
        ),
        "rates": graph(
            ({"guard": "rank", "nf.node": "a-1"}, [rate] * STEPS),
            ({"guard": "rank", "nf.node": "a-2"}, [rate] * (STEPS - 1) + [4 * rate]),
        ),
        "outcomes": graph(
            ({"guard": "rank", "outcome": "success"}, [both * 0.9] * STEPS),
            ({"guard": "rank", "outcome": "failure"}, [both * 0.1] * 30),
        ),
        "active": graph(({"guard": "rank"}, [3.0, 9.0])),
    }


def view(**given: Any) -> GuardView:
    """One command as its streams show it."""
    shown: dict[str, Any] = {
        "name": "rank", "group": "home", "service": "home", "hosts": 2,
        "state": CircuitState.CLOSED, "open_hosts": 0, "requests": 0, "errors": 0,
        "error_percent": 0.0, "requests_per_s": 0.0, "window_s": 10.0, "counts": {},
        "in_flight": 0, "most_in_flight": 0, "latency_mean_ms": 0.0, "latency_ms": {},
        "total_mean_ms": 0.0, "total_ms": {}, "isolation": "SEMAPHORE", "limit": 100,
        "timeout_ms": 1000, "open_s": 2.0, "minimum_calls": 20, **given,
    }  # fmt: skip
    service = ServiceGuards(
        service="home", commands=[CommandView(**shown)], pools=[], collapsers=[], instances=[],
        left_out=[],
    )  # fmt: skip
    return GuardView(at_ms=0, services=[service])


def only(found: list[Advice]) -> Advice:
    """The one command's."""
    (one,) = found
    return one


def test_recorded_percentiles_are_of_all_and_rates_of_the_busiest() -> None:
    """A limit is set for one process; a latency is everybody's."""
    one = only(advise("home", view(), answers()))
    seen = one.seen
    assert seen.calls == 360_000
    assert seen.window_s == 3_600
    assert (seen.peak_per_s, seen.most_active) == (200.0, 9)
    assert seen.mean_per_s == pytest.approx(52.5)
    assert 0.009 < seen.p50_s < 0.012
    assert 0.08 < seen.p99_s <= seen.p995_s <= seen.max_s < 0.13
    assert seen.failure_share == pytest.approx(0.5 * 0.1 / (0.9 + 0.5 * 0.1))
    changes = one.suggestions.changes()
    assert 0.1 < float(str(changes["timeout_s"])) < 0.2
    assert changes["bulkhead.max_concurrent"] == pytest.approx(30, abs=8)
    assert one.suggestions.unknown == []


def test_the_callers_deadline_is_kept_to() -> None:
    """As in the service itself."""
    one = only(advise("home", view(), answers(), deadline_s=0.1))
    assert one.suggestions.changes()["timeout_s"] == 0.09


def test_what_streams_do_not_tell_is_not_suggested() -> None:
    """A command of a service that gives no stream is compared with nothing."""
    nobody = GuardView(at_ms=0, services=[])
    one = only(advise("home", nobody, answers()))
    assert set(one.suggestions.changes()) == {"timeout_s"}


def test_a_command_without_meters_is_judged_by_its_stream() -> None:
    """The mean of its hosts; ten seconds of it are few calls."""
    shown = view(
        counts={"Success": 380, "Failure": 20}, requests_per_s=40.0, most_in_flight=5,
        latency_ms={"50": 10.0, "95": 20.0, "99": 40.0, "99.5": 60.0, "100": 96.0},
    )  # fmt: skip
    empty = {name: graph() for name in answers()}
    one = only(advise("home", shown, empty))
    assert (one.seen.calls, one.seen.mean_per_s, one.seen.most_active) == (400, 20.0, 3)
    assert one.suggestions.changes()["timeout_s"] == 0.15
    assert "1000 are wanted" in one.suggestions.unknown[0]


def test_questions_are_about_one_service_and_one_stretch() -> None:
    """Four of them."""
    asked = questions("home", "2h")
    assert set(asked) == set(answers())
    assert all("nf.app%2Chome" in path and "s=e-2h" in path for path in asked.values())


def test_rows_say_now_better_and_why() -> None:
    """`keep` where nothing is to be changed."""
    found = advise("home", view(timeout_ms=150), answers())
    by_key = {row[1]: row for row in rows(found)}
    assert by_key["breaker.open_s"][2:4] == ("2.0", "keep")
    assert by_key["bulkhead.max_concurrent"][2] == "100"
    assert all(row[0] == "rank" and row[4] for row in by_key.values())


def suggested(url: str, *words: str) -> str:
    """What `breakwater guard suggest` prints."""
    done = CliRunner().invoke(
        guard, ["suggest", *words], env={"BREAKWATER_URL": url, "COLUMNS": "200"},
        catch_exceptions=False,
    )  # fmt: skip
    return done.output


@pytest.mark.slow
def test_suggest_says_why(url: str) -> None:
    """Suggestions come with what is now and why; too few calls are said to be too few."""
    output = suggested(url, "catalogue", "--command", "AccountById")
    assert "timeout_s" in output
    assert "0.15" in output  # half as much again as the slowest call of 96 ms
    assert "breakwater guard set KEY VALUE" in output
    assert "1000 are wanted" in output
    found = msgspec.json.decode(suggested(url, "catalogue", "--json"), type=list[Advice])
    by_name = {each.command: each for each in found}
    assert by_name["TwoLines"].suggestions.settings == []
    assert "timeout_s" in by_name["AccountById"].suggestions.changes()
    assert "no call of Nobody" in suggested(url, "catalogue", "--command", "Nobody")


def test_a_strangers_numbers_are_no_reason_to_fail() -> None:
    """A stream may tell a limit that no command of ours could have."""
    one = only(advise("home", view(limit=2_000_000_000), answers()))
    assert one.seen.calls == 360_000
