"""Real processes that are killed or frozen: who is still shown, and whether others go with them."""

import anyio
import pytest
from benchmarks.crash_visibility import Seen, Trial, measure

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


async def test_a_crash_and_a_freeze_in_small_fleets() -> None:
    """Killed: hidden before its lease ends. Frozen: doubted, then gone. The others stay fresh.

    The seconds for fleets of every size are measured by the benchmark, and bounded in virtual
    time by the tests of the judge.
    """
    trials = [Trial(1, "native", "kill"), Trial(3, "native", "kill"), Trial(3, "native", "stop")]
    with anyio.fail_after(120):
        alone, killed, frozen = await measure(trials)
    for seen in (alone, killed, frozen):
        assert seen.others == []
        assert seen.gone_s is not None
    assert [_was_hidden_early(seen) for seen in (alone, killed)] == [True, True]
    assert frozen.doubted_s is not None


def _was_hidden_early(seen: Seen) -> bool:
    """Whether the native view knew before the classic one."""
    return seen.hidden_s is not None and seen.gone_s is not None and seen.hidden_s < seen.gone_s
