"""Faults on purpose: injection points that rules from the platform switch on, for a limited time.

`RuleBook` holds what applies to this process and says which rules hit a call; `inject` acts on
an async call; `Burners` spins threads. Every rule ends by itself at its `expires_ms`, also when the
platform that gave it is dead. With no rules a call pays one attribute test.
"""

from breakwater.sdk.faults.burn import Burners
from breakwater.sdk.faults.injection import InjectedFaultError, inject
from breakwater.sdk.faults.rules import CallScope, FaultStats, RuleBook

__all__ = ["Burners", "CallScope", "FaultStats", "InjectedFaultError", "RuleBook", "inject"]
