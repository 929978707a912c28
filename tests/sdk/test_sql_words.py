"""What statements are called in records, and what errors of drivers mean."""

import sqlite3

import pytest

from breakwater.model import Status
from breakwater.sdk.sql_limits import rounded_up_ms
from breakwater.sdk.sql_words import label_of, status_of


@pytest.mark.parametrize(
    ("statement", "label"),
    [
        ("SELECT a FROM titles WHERE id = ?", "select.titles"),
        ("select 1", "select"),
        ('  INSERT INTO "Lists" (a) VALUES (1)', "insert.lists"),
        ("UPDATE shop.prices SET a = 1", "update.shop.prices"),
        ("DELETE FROM ONLY titles", "delete.titles"),
        ("-- why\n/* who */ (SELECT a FROM x)", "select.x"),
        ("CREATE TABLE IF NOT EXISTS t (a int)", "create.t"),
        ("WITH r AS (SELECT a FROM x) SELECT * FROM r", "with.x"),
        ("BEGIN", "begin"),
        ("???", "other"),
        ("", "other"),
    ],
)
def test_a_statement_is_named_by_verb_and_table(statement: str, label: str) -> None:
    """Its values never show."""
    assert label_of(statement) == label


class Error(Exception):
    """As PEP 249 has it."""

    def __init__(self, state: str | None = None) -> None:
        self.sqlstate = state


class OperationalError(Error):
    """As PEP 249 has it."""


class IntegrityError(Error):
    """As PEP 249 has it."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Error("57014"), Status.TIMEOUT),
        (Error("53300"), Status.THROTTLED),
        (Error("57P01"), Status.UNAVAILABLE),
        (Error("08006"), Status.CONNECTION_ERROR),
        (Error("40001"), Status.BAD_REQUEST),
        (Error("23505"), Status.BAD_REQUEST),
        (Error("28P01"), Status.ACCESS_DENIED),
        (Error("XX000"), Status.UNEXPECTED_ERROR),
        (IntegrityError(), Status.BAD_REQUEST),
        (OperationalError(), Status.UNAVAILABLE),
    ],
)
def test_errors_are_told_apart(error: Exception, status: Status) -> None:
    """By their SQLSTATE, else by their class."""
    found = status_of(error, is_disconnect=False)
    assert found is not None
    assert found[0] is status
    lost = status_of(error, is_disconnect=True)
    assert lost == (Status.CONNECTION_ERROR, "disconnect")


def test_errors_of_sqlite_are_told_apart() -> None:
    """By their number."""
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as failed:
        connection.execute("selec")
    assert status_of(failed.value, is_disconnect=False) == (Status.BAD_REQUEST, "sqlite_error")
    connection.close()
    assert status_of(ValueError(), is_disconnect=True) is None


def test_time_limits_are_rounded_up_to_few_values() -> None:
    """Never below what is wanted, and by little more than a tenth."""
    for wanted_ms in (*range(1, 200), 500, 999, 1000, 5000, 86_400_000):
        rounded = rounded_up_ms(wanted_ms / 1000.0)
        assert wanted_ms <= rounded <= wanted_ms * 1.1 + 1.0
    assert len({rounded_up_ms(ms / 1000.0) for ms in range(100, 1000)}) < 30
