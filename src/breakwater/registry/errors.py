"""What can go wrong when an instance is registered, renewed or looked up.

BreakwaterError
├── InvalidInputError
│   ├── InvalidEvidenceError      what a caller reports cannot be read, or is too much; mend it
│   ├── InvalidActError           an operator's act cannot be carried out as asked; mend it
│   ├── UnknownActError           no act has that number, or it has ended; list the acts
│   ├── InvalidInstanceError      the instance cannot be registered as described; mend it
│   ├── UnknownInstanceError      no lease under that application and id; register first
│   │   └── NewerClaimError       the caller knows a newer version than is held; register again
│   └── UnusablePeerError         what the settings name as a peer is no address; mend it
├── UnavailableError
│   ├── PeerFailedError           a peer did not answer, or not so that it could be understood
│   ├── StaleReplicaError         a peer is behind; take the newer version, carried along
│   ├── RegistryFullError         every place is taken; come back when leases have ended
│   └── DnsPortError              the port of the DNS zone cannot be opened
└── LimitExceededError
    ├── PayloadTooLargeError      the body or the metadata is larger than allowed; send less
    ├── TooManyActsError          more acts of operators are in force than allowed; undo some
    └── TooManyWaitersError       more long polls are open than allowed; poll without waiting
"""

from typing import TYPE_CHECKING

from breakwater.model import InvalidInputError, LimitExceededError, UnavailableError

if TYPE_CHECKING:
    from breakwater.registry.instance_info import InstanceInfo


class InvalidInstanceError(InvalidInputError):
    """The description of an instance breaks a rule; the message names the field and the rule."""


class InvalidEvidenceError(InvalidInputError):
    """A report of a caller that cannot be read; nothing of it was taken."""


class InvalidActError(InvalidInputError):
    """What an operator asks for is no act on an instance; the message says what is allowed."""


class UnknownActError(InvalidInputError):
    """There is no act of that number in force."""


class UnknownInstanceError(InvalidInputError):
    """Nothing is registered under the name asked for."""


class NewerClaimError(UnknownInstanceError):
    """The caller changed since it last registered; what is held is out of date."""


class StaleReplicaError(UnavailableError):
    """A peer renewed with an older version than the one held; `held` is the newer one."""

    def __init__(self, message: str, held: "InstanceInfo") -> None:
        super().__init__(message)
        self.held = held


class UnusablePeerError(InvalidInputError):
    """What was given as the address of a peer cannot be one."""


class PeerFailedError(UnavailableError):
    """A peer could not be asked; `status` is its HTTP answer, 0 if there was none that counts."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RegistryFullError(UnavailableError):
    """No further instance is taken until some lease ends."""


class DnsPortError(UnavailableError):
    """The port of the DNS zone is taken or not allowed, or its domain is no name."""


class PayloadTooLargeError(LimitExceededError):
    """More bytes were sent than the registry keeps for one instance."""


class TooManyWaitersError(LimitExceededError):
    """The number of callers that may wait for a change at the same time is reached."""


class TooManyActsError(LimitExceededError):
    """The number of acts that may be in force at the same time is reached."""
