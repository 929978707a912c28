"""What runs inside a service: meters, context, guarded calls, discovery, and faults on purpose.

Five lines join a service to a fleet:

    service = Service("catalogue", port=8101)
    app = service.asgi(app)                              # records and guards what comes in
    account = service.client("account", timeout_s=0.5)   # records and guards what goes out
    reply = await account.get("/v1/profiles/7", fallback=lambda error: GUEST)

The promise: whatever state the platform is in (dead, slow, talking nonsense), the service does not
notice. Standard library and msgspec only; HTTP libraries are imported by the adapter that is asked
for, the background parts with the first look at `Service`, so that importing this module stays
under 60 ms even where no bytecode is kept.
"""

from typing import TYPE_CHECKING, Any

from breakwater.model import FaultRule, Instance, Status
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
from breakwater.sdk.errors import (
    CallError,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
    SettingsError,
)
from breakwater.sdk.guard import BreakerConfig, BreakerState, Command, Fallback

if TYPE_CHECKING:
    from breakwater.sdk.service import Service, ServiceStats

__all__ = [
    "BreakerConfig",
    "BreakerState",
    "CallContext",
    "CallError",
    "CallFailedError",
    "CallRefusedError",
    "Command",
    "Criticality",
    "DeadlineExceededError",
    "Fallback",
    "FaultRule",
    "Instance",
    "Reply",
    "Service",
    "ServiceStats",
    "SettingsError",
    "Status",
    "baggage",
    "criticality",
    "current",
    "deadline",
    "remaining_s",
]


def __getattr__(name: str) -> Any:
    if name in ("Service", "ServiceStats"):
        from breakwater.sdk import service  # noqa: PLC0415 - see above

        return getattr(service, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
