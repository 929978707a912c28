"""How long a breaker stays open: fixed, growing with each failed round, spread, or as told."""

from collections.abc import Callable

from breakwater.sdk.guard.config import BreakerConfig


def longest_open_s(config: BreakerConfig) -> float:
    """The cap of the open time before jitter; `open_s` itself is never cut."""
    return max(config.open_s, config.max_open_s)


def open_seconds(config: BreakerConfig, opening: int, random: Callable[[], float]) -> float:
    """How long the `opening`-th opening in a row lasts, counted from 1.

    open_s * open_factor^(opening-1), at most the cap, then times 1 +- open_jitter: spread after
    the cap, or many breakers at the cap would all probe at once.
    """
    cap_s = longest_open_s(config)
    seconds = config.open_s
    if config.open_factor > 1.0 and opening > 1:
        try:
            seconds = min(cap_s, seconds * config.open_factor ** (opening - 1))
        except OverflowError:
            seconds = cap_s
    if config.open_jitter:
        seconds *= 1.0 + config.open_jitter * (2.0 * random() - 1.0)
    return seconds


def told_seconds(config: BreakerConfig, retry_after_s: float | None) -> float:
    """How long the callee asked to be left alone, as far as it is heeded; 0 if not at all."""
    if not isinstance(retry_after_s, int | float) or not retry_after_s > 0.0:
        return 0.0
    if not (config.honour_retry_after or config.retry_after_opens):
        return 0.0
    return min(retry_after_s, longest_open_s(config))


def open_terms(config: BreakerConfig) -> tuple[float, ...]:
    """All that the open time depends on."""
    return config.open_s, config.open_factor, config.max_open_s, config.open_jitter
