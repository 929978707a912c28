"""The table of last good copies."""

import pytest

from breakwater.reference.lastgood import LastGood


def test_a_copy_is_given_back_and_a_missing_one_raises_the_reason() -> None:
    """What is missing raises the error that made somebody look for it."""
    table: LastGood[int] = LastGood(2)
    assert table.keep("x", 1) == 1
    reason = RuntimeError("callee is down")
    assert table.copy("x", reason) == 1
    assert table.get("y") is None
    with pytest.raises(RuntimeError, match="callee is down"):
        table.copy("y", reason)


def test_the_copy_refreshed_longest_ago_goes_first() -> None:
    """The table never grows past its limit; refreshing keeps a copy."""
    table: LastGood[int] = LastGood(2)
    table.keep("x", 1)
    table.keep("y", 2)
    table.keep("x", 3)
    table.keep("z", 4)
    assert (table.get("x"), table.get("y"), table.get("z"), len(table)) == (3, None, 4, 2)
