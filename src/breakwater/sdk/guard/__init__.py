"""Guard: what keeps a failing dependency from taking its callers down.

A `Command` guards a function in a fixed order of parts: caches, fallback, total deadline, retry or
hedge, throttle, rate, circuit breaker, bulkhead or adaptive limit, attempt timeout. `CommandConfig`
says which are there; what is not configured is not even imported. `Guards` is the registry of all
commands of a process. Breaker, bulkhead and the other parts also stand alone. No lock is held while
user code runs; a guarded call costs half a microsecond, a refusal about one.

From the bottom up: `config`, `events` and `gate` say what there is; `breaking`, `limiting`,
`retrying`, `sharing` and `counting` are the parts, none of which waits or knows another; `travel`
takes a call through them; `command` and `guards` are what users hold; `live` changes settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from breakwater.sdk.guard.travel.defaults import make_by

if TYPE_CHECKING:
    from breakwater.sdk.guard.breaking.breaker import Breaker
    from breakwater.sdk.guard.breaking.probes import Permit
    from breakwater.sdk.guard.breaking.reports import BreakerStats
    from breakwater.sdk.guard.command import Command
    from breakwater.sdk.guard.config import (
        AdaptiveConfig,
        BreakerConfig,
        BudgetConfig,
        BulkheadConfig,
        CollapseConfig,
        CommandConfig,
        FallbackConfig,
        HedgeConfig,
        RateConfig,
        RetryConfig,
        SheddingConfig,
        StaleConfig,
        StatisticsConfig,
        ThrottleConfig,
    )
    from breakwater.sdk.guard.counting.suggestions import Observed, Suggestion, Suggestions, suggest
    from breakwater.sdk.guard.events import (
        AttemptEnded,
        BreakerState,
        BreakerTold,
        CallEnded,
        CallRefused,
        Event,
        EventType,
        FallbackAsked,
        HedgeSent,
        Hook,
        Kind,
        LimitMoved,
        ProbeExpired,
        RateExceeded,
        RetryMade,
        RetryRefused,
        SettingChanged,
        StaleResult,
        StateChanged,
    )
    from breakwater.sdk.guard.guards import Guards, GuardsStats, default_guards
    from breakwater.sdk.guard.limiting.adaptive import AdaptiveLimit, AdaptiveStats
    from breakwater.sdk.guard.limiting.bulkhead import Bulkhead, BulkheadStats
    from breakwater.sdk.guard.limiting.places import PlacesStats
    from breakwater.sdk.guard.limiting.pool import PoolStats, ThreadPool
    from breakwater.sdk.guard.limiting.shedding import Shedder, SheddingStats
    from breakwater.sdk.guard.live.configuration import LiveConfig
    from breakwater.sdk.guard.sharing.scope import request_scope
    from breakwater.sdk.guard.travel.code import Fallback
    from breakwater.sdk.guard.travel.journey import CallReport
    from breakwater.sdk.guard.travel.reading import CommandStats
    from breakwater.sdk.guard.travel.timeouts import attempt_timeout
    from breakwater.sdk.guard.tuning.audit import AuditStats, ConfigChange, ConfigRefusal
    from breakwater.sdk.guard.tuning.profiles import hystrix, resilience4j
    from breakwater.sdk.guard.verdict import Verdict

_HOMES: Final = {
    "limiting.adaptive": ("AdaptiveLimit", "AdaptiveStats"),
    "tuning.audit": ("AuditStats", "ConfigChange", "ConfigRefusal"),
    "breaking.breaker": ("Breaker",),
    "limiting.bulkhead": ("Bulkhead", "BulkheadStats"),
    "travel.code": ("Fallback",),
    "command": ("Command",),
    "config": (
        "AdaptiveConfig", "BreakerConfig", "BudgetConfig", "BulkheadConfig", "CollapseConfig",
        "CommandConfig", "FallbackConfig", "HedgeConfig", "RateConfig", "RetryConfig",
        "SheddingConfig", "StaleConfig", "StatisticsConfig", "ThrottleConfig",
    ),
    "events": (
        "AttemptEnded", "BreakerState", "BreakerTold", "CallEnded", "CallRefused", "Event",
        "EventType", "FallbackAsked", "HedgeSent", "Hook", "Kind", "LimitMoved", "ProbeExpired",
        "RateExceeded", "RetryMade", "RetryRefused", "SettingChanged", "StaleResult",
        "StateChanged",
    ),
    "guards": ("Guards", "GuardsStats", "default_guards"),
    "travel.journey": ("CallReport",),
    "live.configuration": ("LiveConfig",),
    "limiting.places": ("PlacesStats",),
    "limiting.pool": ("PoolStats", "ThreadPool"),
    "breaking.probes": ("Permit",),
    "travel.reading": ("CommandStats",),
    "breaking.reports": ("BreakerStats",),
    "sharing.scope": ("request_scope",),
    "limiting.shedding": ("Shedder", "SheddingStats"),
    "counting.suggestions": ("Observed", "Suggestion", "Suggestions", "suggest"),
    "travel.timeouts": ("attempt_timeout",),
    "tuning.profiles": ("hystrix", "resilience4j"),
    "verdict": ("Verdict",),
}  # fmt: skip
"""Where each name lives; a module is imported when one of its names is first asked for."""

_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdaptiveConfig",
    "AdaptiveLimit",
    "AdaptiveStats",
    "AttemptEnded",
    "AuditStats",
    "Breaker",
    "BreakerConfig",
    "BreakerState",
    "BreakerStats",
    "BreakerTold",
    "BudgetConfig",
    "Bulkhead",
    "BulkheadConfig",
    "BulkheadStats",
    "CallEnded",
    "CallRefused",
    "CallReport",
    "CollapseConfig",
    "Command",
    "CommandConfig",
    "CommandStats",
    "ConfigChange",
    "ConfigRefusal",
    "Event",
    "EventType",
    "Fallback",
    "FallbackAsked",
    "FallbackConfig",
    "Guards",
    "GuardsStats",
    "HedgeConfig",
    "HedgeSent",
    "Hook",
    "Kind",
    "LimitMoved",
    "LiveConfig",
    "Observed",
    "Permit",
    "PlacesStats",
    "PoolStats",
    "ProbeExpired",
    "RateConfig",
    "RateExceeded",
    "RetryConfig",
    "RetryMade",
    "RetryRefused",
    "SettingChanged",
    "Shedder",
    "SheddingConfig",
    "SheddingStats",
    "StaleConfig",
    "StaleResult",
    "StateChanged",
    "StatisticsConfig",
    "Suggestion",
    "Suggestions",
    "ThreadPool",
    "ThrottleConfig",
    "Verdict",
    "attempt_timeout",
    "default_guards",
    "hystrix",
    "request_scope",
    "resilience4j",
    "suggest",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def _guards() -> "Guards":
    made: Guards = __getattr__("Guards")()
    return made


make_by(_guards)
