"""The words every room shares: tags, calls, changes, faults, instances, time, errors.

Frozen records and pure functions only; nothing here opens a file or a socket, and nothing here
imports more than the standard library and msgspec, because `breakwater.sdk` carries it into
other people's services.
"""

from breakwater.model.calls import Status, status_of_http
from breakwater.model.changes import Change, ChangeKind
from breakwater.model.clock import Clock, SystemClock
from breakwater.model.errors import (
    BreakwaterError,
    InvalidInputError,
    LimitExceededError,
    UnavailableError,
)
from breakwater.model.faults import CALL_POINTS, CallPoint, FaultKind, FaultRule, FaultRules
from breakwater.model.guards import GuardConfig, GuardExpiry, GuardScope, GuardValue
from breakwater.model.instances import (
    CalleeReport,
    CallerReport,
    Health,
    Instance,
    InstanceKey,
    InstanceView,
    ProcessSpec,
    ViewChange,
)
from breakwater.model.tags import InvalidTagsError, canonical, sanitize, series_id, validate_tags

__all__ = [
    "CALL_POINTS",
    "BreakwaterError",
    "CallPoint",
    "CalleeReport",
    "CallerReport",
    "Change",
    "ChangeKind",
    "Clock",
    "FaultKind",
    "FaultRule",
    "FaultRules",
    "GuardConfig",
    "GuardExpiry",
    "GuardScope",
    "GuardValue",
    "Health",
    "Instance",
    "InstanceKey",
    "InstanceView",
    "InvalidInputError",
    "InvalidTagsError",
    "LimitExceededError",
    "ProcessSpec",
    "Status",
    "SystemClock",
    "UnavailableError",
    "ViewChange",
    "canonical",
    "sanitize",
    "series_id",
    "status_of_http",
    "validate_tags",
]
