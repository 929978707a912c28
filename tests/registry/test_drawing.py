"""What the registry answers, as a person reads it."""

import pytest

from breakwater.model import Health, Instance
from breakwater.registry.acting.acts import Act, ActKind
from breakwater.registry.commands import drawing
from breakwater.registry.peers.link import PeerKind, PeerState


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (400_000, "5 d")],
)
def test_a_time_in_words(seconds: float, said: str) -> None:
    """The largest unit that fits is enough."""
    assert drawing.span(seconds) == said


def instance(health: Health = Health.FRESH, status: str = "UP") -> Instance:
    """An instance."""
    return Instance(service="s", instance_id="i", host="h", port=1, health=health, status=status)


def test_doubt_stands_beside_the_status() -> None:
    """Who is fresh needs no further word; how many are in doubt is counted beneath."""
    late, doubtful = instance(Health.LATE), instance(Health.DOUBTFUL, status="DOWN")
    assert [drawing.state(one) for one in (instance(), late, doubtful)] == [
        "UP",
        "UP, late",
        "DOWN, doubtful",
    ]
    told = drawing.summary([instance(), late, late, doubtful])
    assert told == "4 instances of 1 service, 2 late, 1 doubtful"


def test_an_act_in_a_row() -> None:
    """What it does, to whom, since when, how it ends or ended, by whom and why."""
    act = Act(
        id="a1", kind=ActKind.OVERRIDE, service="s", instance_id="i", actor="ann", reason="",
        status="DOWN", before="UP", start_ms=1_700_000_000_000,
    )  # fmt: skip
    begun = "2023-11-14 22:13:20 UTC"
    assert drawing.act_row(act) == (
        "a1", "override to DOWN", "s/i", begun, "undone", "ann", "-",
    )  # fmt: skip


def test_a_peer_in_a_row() -> None:
    """Whether it is reached, when it was heard, how far behind it is, and what failed last."""
    peer = PeerState(
        url="http://b:7101", name="b", kind=PeerKind.BREAKWATER, is_up=False, last_success_ms=0,
        last_compared_ms=1_000, heard_ago_s=None, waiting=3, lag_s=65.0, sent=0, expired=0,
        dropped=0, rejected=0, failures=1, skew_ms=-3, last_failure="connection refused",
    )  # fmt: skip
    assert drawing.peer_row(peer, 6_000) == (
        "http://b:7101", "breakwater", "down", "never", "3 (1 min)", "5 s ago", "-3 ms",
        "connection refused",
    )  # fmt: skip
