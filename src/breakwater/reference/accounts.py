"""Who watches: accounts with plans, profiles and devices, derived from a seed.

Nothing is stored: account number n of seed s is the same person in every process, so the account
service, the ranker's viewing data and the player agree without a shared database.
"""

import hashlib
import hmac
import random
from typing import Final

import msgspec

from breakwater.reference.errors import UnauthenticatedError, UnknownItemError
from breakwater.reference.titles import RATINGS, REGIONS

DEFAULT_ACCOUNTS: Final = 2000
DEVICES: Final = ("tv", "browser", "phone")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription allows: streams at once, and picture height in lines."""

    name: str
    max_streams: int
    max_height: int


PLANS: Final = {
    plan.name: plan
    for plan in (
        Plan(name="basic", max_streams=1, max_height=720),
        Plan(name="standard", max_streams=2, max_height=1080),
        Plan(name="premium", max_streams=4, max_height=2160),
        Plan(name="lapsed", max_streams=0, max_height=0),
    )
}


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One subscriber: where, on which plan, and up to which rating the profile may see."""

    id: str
    plan: str
    region: str
    rating: str
    profiles: tuple[str, ...]

    @property
    def is_active(self) -> bool:
        """Whether the plan allows any stream at all."""
        return PLANS[self.plan].max_streams > 0


GUEST: Final = Account(id="guest", plan="lapsed", region="eu", rating="all", profiles=("guest",))
"""Whom a page is made for when nobody can say whose page it is: may look, may not watch."""


class Accounts:
    """All accounts of one seed, and the key that signs their devices' tokens. Immutable."""

    def __init__(self, seed: int, count: int = DEFAULT_ACCOUNTS) -> None:
        self._seed = seed
        self.count = count
        self._key = hashlib.sha256(f"{seed}:device-tokens".encode()).digest()

    def account(self, account_id: str) -> Account:
        """The account of that id; raises UnknownItemError."""
        number = account_number(account_id)
        if number is None or not 1 <= number <= self.count:
            raise UnknownItemError(f"no account '{account_id}'; ids run from a1 to a{self.count}")
        rng = random.Random(f"{self._seed}:account:{number}")  # noqa: S311 - generated, not secret
        plan = rng.choices(tuple(PLANS), weights=(30, 40, 27, 3))[0]
        return Account(
            id=account_id,
            plan=plan,
            region=rng.choices(REGIONS, weights=(4, 4, 1, 1))[0],
            rating=rng.choices(RATINGS, weights=(1, 2, 7))[0],
            profiles=tuple(f"{account_id}-p{n}" for n in range(1, rng.randint(1, 4) + 1)),
        )

    def token(self, account_id: str, device: str) -> str:
        """What an enrolled device shows to prove whose it is."""
        return f"{account_id}.{device}.{self._signature(account_id, device)}"

    def authenticate(self, token: str) -> tuple[Account, str]:
        """The account and the kind of device a token stands for; raises UnauthenticatedError."""
        parts = token.split(".")
        if len(parts) != 3 or parts[1] not in DEVICES:
            raise UnauthenticatedError("a device token reads ACCOUNT.DEVICE.SIGNATURE")
        account_id, device, signature = parts
        if not hmac.compare_digest(signature, self._signature(account_id, device)):
            raise UnauthenticatedError(f"the token of account '{account_id}' is not genuine")
        return self.account(account_id), device

    def _signature(self, account_id: str, device: str) -> str:
        message = f"{account_id}.{device}".encode()
        return hmac.new(self._key, message, "sha256").hexdigest()[:32]


def account_number(account_id: str) -> int | None:
    """The number in an account id such as `a17`, or None when it is not one."""
    digits = account_id.removeprefix("a")
    return int(digits) if digits.isdecimal() and len(digits) <= 9 else None
