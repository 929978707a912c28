"""Who is behind a virtual address."""

from hypothesis import given
from hypothesis import strategies as st
from tests.registry.instances import instance

from breakwater.registry import Action
from breakwater.registry.holding.addresses import Addresses
from breakwater.registry.holding.tally import StatusTally
from breakwater.registry.instance_info import InstanceInfo, InstanceStatus

ADDRESS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=4).map(",".join)
CHANGE = st.builds(
    lambda number, vip, secure, status, action: instance(
        f"i-{number}",
        vip_address=vip,
        secure_vip_address=secure,
        status=status,
        action=action,
    ),
    st.integers(0, 4),
    ADDRESS,
    ADDRESS,
    st.sampled_from(InstanceStatus),
    st.sampled_from(Action),
)


@given(changes=st.lists(CHANGE, max_size=30))
def test_the_index_finds_what_a_search_would(changes: list[InstanceInfo]) -> None:
    """After any changes each address leads to exactly the present instances that name it."""
    plain, secure = Addresses(is_secure=False), Addresses(is_secure=True)
    present: dict[str, InstanceInfo] = {}
    for info in changes:
        plain.note(info)
        secure.note(info)
        present.pop(info.instance_id, None)
        if info.action is not Action.DELETED:
            present[info.instance_id] = info
    for address in ("a", "b", "c"):
        for index, field in ((plain, "vip_address"), (secure, "secure_vip_address")):
            behind = {
                name: info
                for name, info in present.items()
                if address in getattr(info, field).split(",")
            }
            assert {info.instance_id: info for info in index.members(address)} == behind
    assert list(plain.members("")) == []


@given(changes=st.lists(CHANGE, min_size=1, max_size=30))
def test_the_state_of_an_address_moves_with_it(changes: list[InstanceInfo]) -> None:
    """Whoever kept an answer for one state may give it again while the state is the same."""
    index = Addresses(is_secure=False)
    seen: dict[tuple[str, int], list[InstanceInfo]] = {}
    for info in changes:
        index.note(info)
        for address in ("a", "b", "c"):
            members = list(index.members(address))
            if members:
                state = index.change(address)
                assert state > 0
                assert seen.setdefault((address, state), members) == members
            else:
                assert index.change(address) == 0


@given(changes=st.lists(CHANGE, max_size=30))
def test_statuses_are_counted_as_they_change(changes: list[InstanceInfo]) -> None:
    """The tally is what counting all present instances would give, and so is Eureka's code."""
    tally = StatusTally()
    present: dict[str, str] = {}
    for info in changes:
        tally.note(info)
        present.pop(info.instance_id, None)
        if info.action is not Action.DELETED:
            present[info.instance_id] = info.status.value
    names = sorted(set(present.values()))
    assert tally.counts() == {name: list(present.values()).count(name) for name in names}
    assert tally.code() == "".join(f"{name}_{tally.counts()[name]}_" for name in names)
