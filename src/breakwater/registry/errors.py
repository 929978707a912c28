"""What can go wrong when an instance is registered, renewed or looked up.

BreakwaterError
├── InvalidInputError
│   ├── InvalidInstanceError      the instance cannot be registered as described; mend it
│   └── UnknownInstanceError      no lease under that application and id; register first
│       └── NewerClaimError       the caller knows a newer version than is held; register again
├── UnavailableError
│   ├── StaleReplicaError         a peer is behind; take the newer version, carried along
│   └── RegistryFullError         every place is taken; come back when leases have ended
└── LimitExceededError
    ├── PayloadTooLargeError      the body or the metadata is larger than allowed; send less
    └── TooManyWaitersError       more long polls are open than allowed; poll without waiting
"""

from typing import TYPE_CHECKING

from breakwater.model import InvalidInputError, LimitExceededError, UnavailableError

if TYPE_CHECKING:
    from breakwater.registry.instance_info import InstanceInfo


class InvalidInstanceError(InvalidInputError):
    """The description of an instance breaks a rule; the message names the field and the rule."""


class UnknownInstanceError(InvalidInputError):
    """Nothing is registered under the name asked for."""


class NewerClaimError(UnknownInstanceError):
    """The caller changed since it last registered; what is held is out of date."""


class StaleReplicaError(UnavailableError):
    """A peer renewed with an older version than the one held; `held` is the newer one."""

    def __init__(self, message: str, held: "InstanceInfo") -> None:
        super().__init__(message)
        self.held = held


class RegistryFullError(UnavailableError):
    """No further instance is taken until some lease ends."""


class PayloadTooLargeError(LimitExceededError):
    """More bytes were sent than the registry keeps for one instance."""


class TooManyWaitersError(LimitExceededError):
    """The number of callers that may wait for a change at the same time is reached."""
