"""Who an account is, and what proves it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference.accounts import PLANS, Accounts, account_number
from breakwater.reference.errors import UnauthenticatedError, UnknownItemError


def test_an_account_is_the_same_everywhere() -> None:
    """Account n of seed s does not depend on the process or on what was asked before."""
    first, second = Accounts(5), Accounts(5)
    second.account("a9")
    assert first.account("a17") == second.account("a17")
    assert first.account("a17") != Accounts(6).account("a17")


def test_every_plan_is_taken() -> None:
    """The generated accounts use all plans, and most may watch."""
    accounts = [Accounts(1).account(f"a{n}") for n in range(1, 400)]
    assert {account.plan for account in accounts} == set(PLANS)
    assert sum(account.is_active for account in accounts) > 350


@pytest.mark.parametrize("account_id", ["a0", "a2001", "b1", "", "a", "a1x", "a99999999999"])
def test_unknown_accounts_are_refused(account_id: str) -> None:
    """An id outside the generated range is unknown, whatever it looks like."""
    with pytest.raises(UnknownItemError):
        Accounts(1).account(account_id)


def test_a_genuine_token_names_account_and_device() -> None:
    """A token gives back the account and the device it was made for."""
    accounts = Accounts(1)
    account, device = accounts.authenticate(accounts.token("a3", "phone"))
    assert (account.id, device) == ("a3", "phone")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.replace("a3", "a4"),
        lambda t: t.replace("phone", "tv"),
        lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"),
        lambda t: t + ".x",
        lambda _: "",
        lambda _: "a3.toaster.00",
    ],
)
def test_a_changed_token_is_refused(spoil: object) -> None:
    """Changing account, device or signature makes a token worthless."""
    accounts = Accounts(1)
    assert callable(spoil)
    with pytest.raises(UnauthenticatedError):
        accounts.authenticate(spoil(accounts.token("a3", "phone")))


def test_a_token_of_another_fleet_is_refused() -> None:
    """Tokens are signed with the seed's key, so another seed's do not count."""
    with pytest.raises(UnauthenticatedError):
        Accounts(1).authenticate(Accounts(2).token("a3", "tv"))


@given(st.text(max_size=12))
def test_account_number_reads_only_account_ids(text: str) -> None:
    """Whatever is not `a` and digits has no number."""
    number = account_number(text)
    assert number is None or int(text.removeprefix("a")) == number
