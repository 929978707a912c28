"""Faults on purpose: injection points that rules from the platform switch on, for a limited time.

`RuleBook` holds what applies to this process and says which rules hit a call, at which point:
inbound, outbound, cache, database, queue, pool. `inject` acts on an async call, `inject_sync` on a
thread's; `Burners` spins threads. Every rule ends by itself at its `expires_ms`, also when the
platform that gave it is dead. With no rules a call pays one attribute test.
"""

from breakwater.sdk.errors import InjectedFaultError
from breakwater.sdk.faults.burn import Burners
from breakwater.sdk.faults.injection import inject, inject_sync
from breakwater.sdk.faults.rules import CallScope, FaultStats, RuleBook

__all__ = [
    "Burners",
    "CallScope",
    "FaultStats",
    "InjectedFaultError",
    "RuleBook",
    "inject",
    "inject_sync",
]
