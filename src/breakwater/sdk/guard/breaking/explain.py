"""A breaker's configuration as sentences, with the numbers that are really in force.

Several settings bound each other: a window of 50 calls never waits for 100, a round of 3 probes
never for 20. Nobody should have to read the source to learn which one wins.
"""

from math import ceil

from breakwater.sdk.guard.breaking.openings import longest_open_s
from breakwater.sdk.guard.breaking.rule import Rule, closed_rule, probe_rule
from breakwater.sdk.guard.breaking.window import intervals_of
from breakwater.sdk.guard.config import BreakerConfig


def explain(config: BreakerConfig) -> str:
    """What a breaker of this configuration does, one sentence a line."""
    return "\n".join(sentences(config))


def sentences(config: BreakerConfig) -> list[str]:
    """What a breaker of this configuration does, in the order in which it happens."""
    if config.mode == "disabled":
        return ["It is disabled: every call goes through and none is recorded."]
    if config.mode == "forced_open":
        return ["It is forced open: every call is refused until an operator changes the mode."]
    found = [_watches(config), *_judged(config), *_counted(config)]
    if config.mode != "enabled":
        found.append(_never_rejects(config))
        return found
    found += [_stays_open(config), *_retry_after(config)]
    found += [_probes(config), *_round(config), _lease(config)]
    if config.ramp_s:
        found.append(
            "After it closes, the share of calls let through grows from 0 to 100 % within "
            f"{_s(config.ramp_s)}; only then does the open time start over at {_s(config.open_s)}."
        )
    if config.enforcing_percent < 100.0:
        found.append(
            f"Only {config.enforcing_percent:g} % of its refusals are carried out; the others let "
            "the call through and are counted."
        )
    return found


def _watches(config: BreakerConfig) -> str:
    if config.window == "count":
        return f"It watches the last {_n(config.window_calls, 'call')}."
    if config.window == "consecutive":
        return f"It watches runs of failures; one success ends a run. {_no_minimum(config)}"
    if config.judge == "interval":
        size = intervals_of(config)
        covered_s = size * config.judge_every_s
        return (
            f"It watches the last {_s(covered_s)}, in {size} parts of {_s(config.judge_every_s)}."
        )
    part_s = config.window_s / config.buckets
    return f"It watches the last {_s(config.window_s)}, in {config.buckets} parts of {_s(part_s)}."


def _no_minimum(config: BreakerConfig) -> str:
    return f"minimum_calls ({config.minimum_calls}) plays no part, percentages only in half-open."


def _judged(config: BreakerConfig) -> list[str]:
    rule = closed_rule(config)
    if config.window == "consecutive":
        found = [f"It opens after {_n(rule.minimum, 'failure')} in a row."]
        if rule.slow_percent is not None:
            found[0] = (
                f"It opens after {_n(rule.minimum, 'failure')} in a row, or as many calls in a row "
                f"that took longer than {_s(config.slow_call_s)}."
            )
    else:
        found = [f"It opens when {_rates(config, rule)}."]
        if rule.minimum < config.minimum_calls:
            found.append(
                f"The effective minimum is {rule.minimum}: minimum_calls is "
                f"{config.minimum_calls}, but the window never holds more calls than that."
            )
        least = ceil(rule.minimum * rule.failure_percent / 100.0 - 1e-9)
        found.append(f"So at least {_n(least, 'failure')} must be in the window.")
    if config.judge == "interval":
        found.append(
            f"It is judged at the end of each {_s(config.judge_every_s)}, so it opens up to "
            f"{_s(config.judge_every_s)} late, and never by a call's own result."
        )
    else:
        found.append("It is judged with every recorded call, successes too.")
    return found


def _rates(config: BreakerConfig, rule: Rule) -> str:
    said = f"at least {rule.failure_percent:g} % of at least {_n(rule.minimum, 'call')} failed"
    if rule.slow_percent is not None:
        said += f", or {rule.slow_percent:g} % took longer than {_s(config.slow_call_s)}"
    if rule.is_whole:
        said += " (percentages are cut to whole numbers)"
    return said


def _counted(config: BreakerConfig) -> list[str]:
    refused = (
        "calls refused further in (no place, no thread) count as failures"
        if config.counts_rejections
        else "calls refused further in do not count"
    )
    return [f"Failures and timeouts count, ignored and cancelled calls do not; {refused}."]


def _never_rejects(config: BreakerConfig) -> str:
    if config.mode == "metrics_only":
        return "It only measures: no call is refused, and each rate that is exceeded is told once."
    return "It is forced closed: no call is refused, whatever it sees."


def _stays_open(config: BreakerConfig) -> str:
    said = f"It stays open for more than {_s(config.open_s)}"
    cap_s = longest_open_s(config)
    if config.open_factor > 1.0 and cap_s > config.open_s:
        second_s = min(cap_s, config.open_s * config.open_factor)
        third_s = min(cap_s, second_s * config.open_factor)
        said += (
            f", then {_s(second_s)}, {_s(third_s)} and so on, at most {_s(cap_s)}, for each "
            "opening without a recovery in between"
        )
    if config.open_jitter:
        said += f"; each time is spread by +-{config.open_jitter * 100.0:g} %"
    return said + "."


def _retry_after(config: BreakerConfig) -> list[str]:
    cap = _s(longest_open_s(config))
    if config.retry_after_opens:
        return [
            f"A failure with a Retry-After opens it at once, for as long as it says up to {cap}."
        ]
    if config.honour_retry_after:
        return [f"A Retry-After of the callee lengthens the open time, up to {cap}."]
    return ["A Retry-After of the callee plays no part."]


def _probes(config: BreakerConfig) -> str:
    when = "by itself" if config.automatic_half_open else "with the next call"
    permits = config.half_open_permits
    if permits == 1:
        return f"Then it turns half open {when}: exactly 1 probe may be out."
    return f"Then it turns half open {when}: at most {permits} probes may be out."


def _round(config: BreakerConfig) -> list[str]:
    rule = probe_rule(config)
    needed = rule.minimum
    if needed == 1:
        found = ["The first result decides: a success closes it, a failure opens it again."]
    else:
        early = ", or earlier if the rest cannot change the outcome" if config.decides_early else ""
        reopens = _probe_rates(config, rule)
        said = f"It is decided when {needed} probes have reported{early}: open again if {reopens}"
        found = [f"{said}, else closed with an empty window."]
    if config.window != "consecutive":
        found.append(
            f"The effective minimum in half-open is {needed}: the smaller of minimum_calls "
            f"({config.minimum_calls}) and half_open_permits ({config.half_open_permits})."
        )
    return found


def _probe_rates(config: BreakerConfig, rule: Rule) -> str:
    said = f"at least {rule.failure_percent:g} % of them failed"
    if rule.slow_percent is not None:
        said += f" or {rule.slow_percent:g} % took longer than {_s(config.slow_call_s)}"
    return said


def _lease(config: BreakerConfig) -> str:
    said = (
        f"A probe that does not report within {_s(config.probe_lease_s)} loses its permit and its "
        "say; a cancelled or ignored one gives its permit back"
    )
    if config.max_half_open_s:
        said += f"; a round undecided after {_s(config.max_half_open_s)} goes {_end(config)}"
    return said + "."


def _end(config: BreakerConfig) -> str:
    return "back to open" if config.undecided_goes_to == "open" else "to closed"


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _s(seconds: float | None) -> str:
    assert seconds is not None, "a time that is not set is never spoken of"
    return f"{seconds * 1000.0:g} ms" if seconds < 1.0 else f"{seconds:g} s"
