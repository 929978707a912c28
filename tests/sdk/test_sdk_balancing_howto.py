"""The snippets of the how-to on balancing do what they say, and its words are those of the code."""

import re
from pathlib import Path
from typing import Any

import pytest

from breakwater.sdk.discovery import BalancerConfig

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "how-to" / "balance-calls.md").read_text(encoding="utf-8")


def run(heading: str) -> dict[str, Any]:
    """Run the Python of one section."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None, heading
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(found[1], heading, "exec"), names)
    return names


@pytest.mark.slow
def test_a_crash_costs_no_call(capsys: pytest.CaptureFixture[str]) -> None:
    """One of four is closed: it is passed over, and 80 calls took one attempt more, or a few."""
    run("See it work")
    told = capsys.readouterr().out
    assert "prices: 3 of 4 instances in use, of two drawn by weight" in told
    assert told.count(": in use; 0 under way, weight 1; 0 of ") == 3
    assert re.search(r"passed over \(refused \d times in a row\), a trial is due in ", told)
    assert re.search(r"80 calls, 8[1-4] attempts\n$", told)


def test_the_rules_are_those_of_the_client() -> None:
    """What a client says holds for its service, the rest for all others."""
    service = run("Change the rules")["service"]
    feed = service.balancer.config_of("feed")
    assert feed == BalancerConfig(subset_size=20, consecutive_failures=10)
    assert service.balancer.config_of("prices") == BalancerConfig(slow_start_s=60.0)


def test_a_key_is_kept() -> None:
    """The snippet makes a client."""
    run("Keep a key at one instance")["client"].close()


def test_the_numbers_of_the_guide_are_the_defaults() -> None:
    """Nobody has to guess which of the two is right."""
    config = BalancerConfig()
    for words in (
        f"`{config.over_provisioning:g} x (those in use there)",
        f"`{config.spill_ratio:g} x (calls under way at one elsewhere + {config.spill_spare})`",
        f"after {config.slow_start_s:g} s",
        f"for {config.refused_base_s:g} s, then 2, 4 ... {config.refused_max_s:g} s",
        f"{config.consecutive_failures} failures in a row",
        f"{config.base_ejection_s:g} s x times in a row, up to {config.max_ejection_s:g} s",
        f"{config.max_ejected_percent:g} %, at least one",
        f"less than {config.panic_percent:g} % in use",
        f"in {config.judge_every_s:g} s, of at least {config.rate_min_calls} calls",
        f"by {config.rate_stdev} standard deviations and by {config.rate_gap}",
        f"more than {config.sticky_spare} calls and more than {config.sticky_load} times",
    ):
        assert words in GUIDE, words
