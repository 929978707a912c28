"""Whose word counts for the status of an instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.registry import InstanceStatus
from breakwater.registry.holding.statuses import effective_status

UP, DOWN, STARTING, OUT, UNKNOWN = InstanceStatus

statuses = st.sampled_from(InstanceStatus)
maybe = st.none() | statuses


@given(override=maybe, held=maybe, is_replication=st.booleans())
@pytest.mark.parametrize("claimed", [DOWN, STARTING])
def test_an_instance_that_is_not_ready_is_believed(
    claimed: InstanceStatus,
    override: InstanceStatus | None,
    held: InstanceStatus | None,
    is_replication: bool,  # noqa: FBT001 - Hypothesis passes by name
) -> None:
    """DOWN and STARTING from the instance stand above everything."""
    status = effective_status(claimed, override=override, held=held, is_replication=is_replication)
    assert status is claimed


@given(claimed=st.sampled_from([UP, OUT, UNKNOWN]), override=statuses, held=maybe)
def test_an_override_stands_above_what_is_held(
    claimed: InstanceStatus, override: InstanceStatus, held: InstanceStatus | None
) -> None:
    """An operator's word counts more than the held status and the instance's own."""
    assert effective_status(claimed, override=override, held=held) is override


@pytest.mark.parametrize("held", [UP, OUT])
def test_a_held_status_stands_unless_a_peer_speaks(held: InstanceStatus) -> None:
    """UP and OUT_OF_SERVICE stay through a registration, but a replica may change them."""
    other = OUT if held is UP else UP
    assert effective_status(other, override=None, held=held) is held
    assert effective_status(other, override=None, held=held, is_replication=True) is other


@pytest.mark.parametrize("held", [None, DOWN, STARTING, UNKNOWN])
def test_otherwise_the_instance_is_believed(held: InstanceStatus | None) -> None:
    """Nothing held, or nothing worth keeping: the instance's own status shows."""
    assert effective_status(UP, override=None, held=held) is UP
