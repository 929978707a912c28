"""The load that the discovery benchmark puts on a registry."""

import asyncio

import pytest
from benchmarks.registry_load import Rates, play
from tests.registry.registry_server import served

pytestmark = pytest.mark.slow


def test_every_request_of_the_load_is_answered() -> None:
    """Registrations, renewals, all kinds of fetches, comings and goings: none is refused."""
    called: list[int] = []

    async def settled() -> None:
        called.append(len(place.registry))

    rates = Rates(renewal_s=1.0, full=20.0, delta=20.0, vip=10.0, churn=5.0)
    with served() as place:
        port = int(place.url.rpartition(":")[2])
        playing = play(port, instances=30, seconds=1.0, rates=rates, settled=settled)
        figures = asyncio.run(playing)
    assert 30 <= called[0] <= 36
    assert {kind: each.failed for kind, each in figures.items()} == dict.fromkeys(
        (
            "register",
            "renew",
            "full fetch, JSON",
            "full fetch, XML",
            "delta, JSON",
            "delta, XML",
            "vip, JSON",
            "register or cancel",
        ),
        0,
    )
    assert figures["renew"].asked == 30
