"""From a configuration to the parts in force: the one place where parts are made and ordered.

A part that is not configured is not imported. When a configuration changes, whatever it does not
concern goes on as it is: a breaker keeps its state, a cache its entries, a limit its height.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from breakwater.sdk.guard.config import BulkheadConfig, CommandConfig
from breakwater.sdk.guard.events import Kind
from breakwater.sdk.guard.gate import Gate
from breakwater.sdk.guard.roles import Front
from breakwater.sdk.guard.travel.code import Code
from breakwater.sdk.guard.travel.parts import Parts
from breakwater.sdk.guard.travel.shared import Shared

if TYPE_CHECKING:
    from breakwater.sdk.guard.breaking.reports import Listener

_T = TypeVar("_T")


def adapt(parts: Parts, config: CommandConfig, shared: Shared, listener: "Listener") -> None:
    """Bring `parts` to `config`; calls under way end by the parts they began with."""
    _adapt_breaker(parts, config, shared, listener)
    limit = _plain_limit(config)
    if parts.bulkhead.limit != limit:
        parts.bulkhead.resize(limit)
    parts.workers = _workers(parts, config, shared)
    parts.retries = _retries(parts, config, shared)
    parts.hedges = _hedges(parts, config)
    parts.last_good = _last_good(parts, config)
    parts.fronts = _fronts(parts, config)
    parts.gates = _gates(parts, config, shared)
    if config.fallback != parts.config.fallback:
        parts.forget_fallback_places()
    parts.statistics.configure(config.statistics)
    parts.config = config


def follow_rules(parts: Parts, shared: Shared) -> None:
    """Have an injector while fault rules concern the command; who writes last has looked last."""
    book, point = shared.faults, parts.code.point
    while book is not None and point is not None:
        rules = book.at(point)
        if not rules:
            parts.injector = None
        else:
            from breakwater.sdk.guard.travel.injecting import injector_of  # noqa: PLC0415 - if needed

            parts.injector = injector_of(
                book,
                point,
                dependency=parts.dependency,
                command=parts.name,
                as_error=parts.code.injected,
            )
        if book.at(point) is rules:
            return


def is_plain(parts: Parts) -> bool:
    """Whether breaker, bulkhead, limits of time and retries are all there is on the way in."""
    return (
        parts.config.enabled
        and parts.injector is None
        and len(parts.gates) == 1 + (parts.breaker is not None)
        and not parts.fronts
        and parts.last_good is None
        and parts.workers is None
        and not (parts.hedges is not None and parts.code.idempotent)
        and parts.code.is_failure is None
        and not parts.hooks.wanted & {Kind.CALL, Kind.ATTEMPT}
    )


def is_bare(parts: Parts) -> bool:
    """Whether nobody but the caller hears of a refusal, and nothing stands in for an answer."""
    return (
        parts.retries is None
        and parts.last_good is None
        and not parts.code.fallbacks
        and not parts.hooks.wanted
        and parts.config.fallback.enabled
    )


def _plain_limit(config: CommandConfig) -> int | None:
    """The limit of the plain pile of permits; None where another part limits, or none does."""
    bulkhead = config.bulkhead
    if bulkhead is None or config.adaptive is not None or _needs_places(bulkhead):
        return None
    return None if bulkhead.isolation == "thread" else bulkhead.max_concurrent


def _needs_places(config: BulkheadConfig) -> bool:
    """Whether the plain pile cannot do it: calls wait, have shares, or are refused late."""
    return config.max_wait_s > 0 or bool(config.partitions) or bool(config.reject_delay_s)


def _adapt_breaker(
    parts: Parts, config: CommandConfig, shared: Shared, listener: "Listener"
) -> None:
    if config.breaker is None:
        parts.breaker = None
    elif parts.breaker is None:
        from breakwater.sdk.guard.breaking.breaker import Breaker  # noqa: PLC0415 - only if configured

        parts.breaker = Breaker(config.breaker, random=shared.random.random, listener=listener)
    elif parts.breaker.config != config.breaker:
        parts.breaker.configure(config.breaker, shared.now_s())


def _kept(parts: Parts, role: str, terms: object, make: Callable[[], _T]) -> _T:
    """The part in this role, made anew when its terms changed."""
    entry: tuple[object, Any] | None = parts.made.get(role)
    if entry is None or entry[0] != terms:
        entry = (terms, make())
        parts.made = {**parts.made, role: entry}
    part: _T = entry[1]
    return part


def _gates(parts: Parts, config: CommandConfig, shared: Shared) -> tuple[Gate, ...]:
    """In the order a call passes them; the pile comes last, it counts the calls under way."""
    gates: list[Gate] = []
    if config.throttle is not None:
        from breakwater.sdk.guard.limiting.throttle import Throttle  # noqa: PLC0415 - only if configured

        terms = config.throttle
        gates.append(_kept(parts, "throttle", terms, lambda: Throttle(terms, shared.random)))
    if config.rate is not None:
        from breakwater.sdk.guard.limiting.rate import RateLimiter  # noqa: PLC0415 - only if configured

        rate = config.rate
        gates.append(_kept(parts, "rate", rate, lambda: RateLimiter(rate)))
    if parts.breaker is not None:
        gates.append(parts.breaker)
    limit = _limit_gate(parts, config, shared)
    if limit is not None:
        gates.append(limit)
    gates.append(parts.bulkhead)
    return tuple(gates)


def _limit_gate(parts: Parts, config: CommandConfig, shared: Shared) -> Gate | None:
    """Adaptive limit, pool, or places in the bulkhead's stead; None: the pile will do."""
    if config.adaptive is not None:
        from breakwater.sdk.guard.limiting.adaptive import AdaptiveLimit  # noqa: PLC0415 - if configured

        adaptive = config.adaptive
        return _kept(
            parts,
            "adaptive",
            adaptive,
            lambda: AdaptiveLimit(adaptive, random=shared.random, on_change=parts.limit_changed),
        )
    if parts.workers is not None:
        return parts.workers
    bulkhead = config.bulkhead
    if bulkhead is None or not _needs_places(bulkhead):
        return None
    return _places(parts, bulkhead)


def _places(parts: Parts, bulkhead: BulkheadConfig) -> Gate:
    """Where calls wait for a place, or have shares; another number of places is no other part."""
    from breakwater.sdk.guard.limiting.waiting import WaitingBulkhead  # noqa: PLC0415 - if configured

    terms, part = parts.made.get("places", (None, None))
    most = bulkhead.max_concurrent
    if (
        isinstance(part, WaitingBulkhead)
        and isinstance(terms, BulkheadConfig)
        and msgspec.structs.replace(terms, max_concurrent=most) == bulkhead
    ):
        part.places.resize(most)
        parts.made = {**parts.made, "places": (bulkhead, part)}
        return part
    return _kept(parts, "places", bulkhead, lambda: WaitingBulkhead(bulkhead))


def _workers(parts: Parts, config: CommandConfig, shared: Shared) -> Any:
    bulkhead = config.bulkhead
    if bulkhead is None or bulkhead.isolation != "thread":
        return None
    from breakwater.sdk.guard.limiting.pool import ThreadPool  # noqa: PLC0415 - only if configured

    pool = shared.workers.get(parts.pool)
    if pool is None:
        pool = shared.workers.setdefault(parts.pool, ThreadPool(parts.pool, bulkhead))
    elif parts.config.bulkhead != bulkhead:  # of all commands of a pool the last to change counts
        pool.configure(bulkhead)
    return pool


def _retries(parts: Parts, config: CommandConfig, shared: Shared) -> Any:
    retry = config.retry
    if retry is None or retry.max_attempts == 1:
        return None
    from breakwater.sdk.guard.retrying.retry import Retry, worth_retrying  # noqa: PLC0415 - if configured

    code: Code = parts.code

    def make() -> Retry:
        budget = shared.budgets.of(parts.dependency, retry.budget)
        budget.add_source(parts.bulkhead)
        return Retry(
            retry,
            budget=budget,
            random=shared.random,
            now_ms=parts.now_ms,
            retry_on=worth_retrying if code.retry_on is None else code.retry_on,
            retries_refusals=code.retries_refusals,
        )

    return _kept(parts, "retry", retry, make)


def _hedges(parts: Parts, config: CommandConfig) -> Any:
    hedge = config.hedge
    if hedge is None or not parts.code.idempotent:
        return None
    from breakwater.sdk.guard.retrying.hedge import Hedge  # noqa: PLC0415 - only if configured

    return _kept(
        parts, "hedge", hedge, lambda: Hedge(hedge, percentile_s=parts.statistics.percentile_s)
    )


def _last_good(parts: Parts, config: CommandConfig) -> Any:
    stale = config.stale
    if stale is None:
        return None
    from breakwater.sdk.guard.sharing.stale import StaleCache  # noqa: PLC0415 - only if configured

    return _kept(parts, "stale", stale, lambda: StaleCache(stale))


def _fronts(parts: Parts, config: CommandConfig) -> tuple[Front, ...]:
    fronts: list[Front] = []
    if config.request_cache:
        from breakwater.sdk.guard.sharing.requestcache import RequestCache  # noqa: PLC0415 - if configured

        fronts.append(_kept(parts, "cache", True, lambda: RequestCache(parts.name)))
    if config.single_flight:
        from breakwater.sdk.guard.sharing.singleflight import SingleFlight  # noqa: PLC0415 - if configured

        fronts.append(_kept(parts, "flight", True, lambda: SingleFlight(parts.name)))
    return tuple(fronts)
