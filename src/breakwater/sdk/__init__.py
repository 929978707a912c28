"""What runs inside a service: meters, context, guarded calls, discovery, and faults on purpose.

Five lines join a service to a fleet:

    service = Service("catalogue", port=8101)
    app = service.asgi(app)                              # records and guards what comes in
    account = service.client("account", timeout_s=0.5)   # records and guards what goes out
    reply = await account.get("/v1/profiles/7", fallback=lambda error: GUEST)

The promise: whatever state the platform is in (dead, slow, talking nonsense), the service does not
notice. Standard library and msgspec only; HTTP libraries are imported by the adapter that is asked
for, and every name with the first look at it, so that importing this module costs next to nothing
and `Service` stays under 60 ms even where no bytecode is kept.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from breakwater.model import FaultRule, Instance, Status
    from breakwater.sdk.aiohttp import Client
    from breakwater.sdk.client import Reply
    from breakwater.sdk.context import (
        CallContext,
        Criticality,
        baggage,
        criticality,
        current,
        deadline,
        remaining_s,
    )
    from breakwater.sdk.discovery import BalancerConfig, InstancesChanged
    from breakwater.sdk.errors import (
        AttemptTimedOutError,
        BadResultError,
        CallError,
        CallFailedError,
        CallRefusedError,
        DeadlineExceededError,
        NoInstanceError,
        SettingsError,
    )
    from breakwater.sdk.guard import (
        AdaptiveConfig,
        AttemptEnded,
        BreakerConfig,
        BreakerState,
        BreakerTold,
        BulkheadConfig,
        CallEnded,
        CallRefused,
        Command,
        CommandConfig,
        Event,
        EventType,
        Fallback,
        FallbackAsked,
        Guards,
        HedgeConfig,
        HedgeSent,
        Kind,
        LimitMoved,
        Observed,
        ProbeExpired,
        RateExceeded,
        RetryConfig,
        RetryMade,
        RetryRefused,
        SettingChanged,
        SheddingConfig,
        StaleConfig,
        StaleResult,
        StateChanged,
        Suggestion,
        Suggestions,
        default_guards,
        request_scope,
        suggest,
    )
    from breakwater.sdk.guard.tuning.keys import checked_setting, setting_keys, setting_of_text
    from breakwater.sdk.service import Service, ServiceStats

_HOMES: Final = {
    "breakwater.model": ("FaultRule", "Instance", "Status"),
    "breakwater.sdk.aiohttp": ("Client",),
    "breakwater.sdk.client": ("Reply",),
    "breakwater.sdk.context": (
        "CallContext", "Criticality", "baggage", "criticality", "current", "deadline",
        "remaining_s",
    ),
    "breakwater.sdk.discovery": ("BalancerConfig", "InstancesChanged"),
    "breakwater.sdk.errors": (
        "AttemptTimedOutError", "BadResultError", "CallError", "CallFailedError",
        "CallRefusedError", "DeadlineExceededError", "NoInstanceError", "SettingsError",
    ),
    "breakwater.sdk.guard": (
        "AdaptiveConfig", "AttemptEnded", "BreakerConfig", "BreakerState", "BreakerTold",
        "BulkheadConfig", "CallEnded", "CallRefused", "Command", "CommandConfig", "Event",
        "EventType", "Fallback", "FallbackAsked", "Guards", "HedgeConfig", "HedgeSent", "Kind",
        "LimitMoved", "Observed", "ProbeExpired", "RateExceeded", "RetryConfig", "RetryMade",
        "RetryRefused", "SettingChanged", "SheddingConfig", "StaleConfig", "StaleResult",
        "StateChanged", "Suggestion", "Suggestions", "default_guards", "request_scope", "suggest",
    ),
    "breakwater.sdk.guard.tuning.keys": ("checked_setting", "setting_keys", "setting_of_text"),
    "breakwater.sdk.service": ("Service", "ServiceStats"),
}  # fmt: skip
"""Where each name lives; a module is imported when one of its names is first asked for."""

_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdaptiveConfig",
    "AttemptEnded",
    "AttemptTimedOutError",
    "BadResultError",
    "BalancerConfig",
    "BreakerConfig",
    "BreakerState",
    "BreakerTold",
    "BulkheadConfig",
    "CallContext",
    "CallEnded",
    "CallError",
    "CallFailedError",
    "CallRefused",
    "CallRefusedError",
    "Client",
    "Command",
    "CommandConfig",
    "Criticality",
    "DeadlineExceededError",
    "Event",
    "EventType",
    "Fallback",
    "FallbackAsked",
    "FaultRule",
    "Guards",
    "HedgeConfig",
    "HedgeSent",
    "Instance",
    "InstancesChanged",
    "Kind",
    "LimitMoved",
    "NoInstanceError",
    "Observed",
    "ProbeExpired",
    "RateExceeded",
    "Reply",
    "RetryConfig",
    "RetryMade",
    "RetryRefused",
    "Service",
    "ServiceStats",
    "SettingChanged",
    "SettingsError",
    "SheddingConfig",
    "StaleConfig",
    "StaleResult",
    "StateChanged",
    "Status",
    "Suggestion",
    "Suggestions",
    "baggage",
    "checked_setting",
    "criticality",
    "current",
    "deadline",
    "default_guards",
    "remaining_s",
    "request_scope",
    "setting_keys",
    "setting_of_text",
    "suggest",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found
