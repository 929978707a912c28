"""What the adapters get from the service they belong to: one record of shared parts."""

from typing import TYPE_CHECKING

import msgspec

from breakwater.model import Clock
from breakwater.sdk.calls import CallRecorder
from breakwater.sdk.discovery import Resolver
from breakwater.sdk.drain import Drain
from breakwater.sdk.endpoints import Endpoints
from breakwater.sdk.faults import RuleBook
from breakwater.sdk.settings import ServiceSettings

if TYPE_CHECKING:
    from random import Random

    from breakwater.sdk.guard import Guards


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one service that its server and client adapters share."""

    settings: ServiceSettings
    clock: Clock
    random: "Random"
    served: CallRecorder
    called: CallRecorder
    endpoints: Endpoints
    resolver: Resolver
    drain: Drain
    faults: RuleBook
    guards: "Guards"
