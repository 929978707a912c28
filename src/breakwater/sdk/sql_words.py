"""What a SQL statement is for, and what the error of a database driver means; no library needed.

Drivers are read by what PEP 249 has in common and by the code they add: `sqlstate` (psycopg,
asyncpg; `pgcode` in psycopg2) or SQLite's `sqlite_errorcode`.
"""

import re
from functools import lru_cache
from typing import Final

from breakwater.model import Status

_SPACE: Final = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_VERB: Final = re.compile(_SPACE + r"\(*\s*([A-Za-z]+)", re.DOTALL)
_TABLE: Final = re.compile(
    r"\b(?:from|into|update|join|table)\s+(?:only\s+|if\s+(?:not\s+)?exists\s+)?([\w.\"`\[\]]+)",
    re.IGNORECASE,
)
_NOT_IN_NAMES: Final = str.maketrans("", "", '"`[]')
_LONGEST: Final = 2_000
"""Characters of a statement that are looked at."""


@lru_cache(maxsize=1_000)
def label_of(statement: str) -> str:
    """Verb and first table of a statement: `select.titles`; `other` where there is no verb."""
    text = statement[:_LONGEST]
    verb = _VERB.match(text)
    if verb is None:
        return "other"
    table = _TABLE.search(text, verb.end())
    if verb[1].lower() == "update":
        table = _TABLE.search(text, verb.start(1))
    named = "" if table is None else f".{table[1].translate(_NOT_IN_NAMES)}"
    return f"{verb[1].lower()}{named.lower()}"


def status_of(error: BaseException, *, is_disconnect: bool) -> tuple[Status, str] | None:
    """Call status and detail of a driver's error; None if it is none.

    What the caller did wrong (constraints, syntax, types, conflicts of transactions) is
    `bad_request`: another database would have said the same.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Error" not in kinds and not kinds & _FAULTS:
        return None
    if is_disconnect:
        return Status.CONNECTION_ERROR, "disconnect"
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str) and len(state) == 5:
        return _of_state(state), f"sqlstate_{state}"
    number = getattr(error, "sqlite_errorcode", None)
    if isinstance(number, int):
        found = _SQLITE.get(number & 0xFF, Status.UNEXPECTED_ERROR)
        return found, str(getattr(error, "sqlite_errorname", "sqlite")).lower()
    own = next((name for name in _OWN if name in kinds), "")
    return (Status.BAD_REQUEST, own) if own else (Status.UNAVAILABLE, type(error).__name__)


def _of_state(state: str) -> Status:
    """Of a SQLSTATE, by the whole or by its class."""
    return _STATES.get(state) or _CLASSES.get(state[:2], Status.UNEXPECTED_ERROR)


_OWN: Final = ("IntegrityError", "ProgrammingError", "DataError", "NotSupportedError")
_FAULTS: Final = {"DatabaseError", "InterfaceError"}
_STATES: Final = {
    "57014": Status.TIMEOUT,  # query_canceled, which is how statement_timeout ends
    "55P03": Status.TIMEOUT,  # lock_not_available
    "25P03": Status.TIMEOUT,  # idle_in_transaction_session_timeout
    "53300": Status.THROTTLED,  # too_many_connections
}
_CLASSES: Final = {
    "08": Status.CONNECTION_ERROR,
    "0A": Status.BAD_REQUEST,
    "21": Status.BAD_REQUEST,
    "22": Status.BAD_REQUEST,
    "23": Status.BAD_REQUEST,
    "24": Status.BAD_REQUEST,
    "25": Status.BAD_REQUEST,
    "26": Status.BAD_REQUEST,
    "28": Status.ACCESS_DENIED,
    "2B": Status.BAD_REQUEST,
    "34": Status.BAD_REQUEST,
    "3B": Status.BAD_REQUEST,
    "3D": Status.BAD_REQUEST,
    "3F": Status.BAD_REQUEST,
    "40": Status.BAD_REQUEST,
    "42": Status.BAD_REQUEST,
    "44": Status.BAD_REQUEST,
    "53": Status.UNAVAILABLE,
    "54": Status.BAD_REQUEST,
    "55": Status.BAD_REQUEST,
    "57": Status.UNAVAILABLE,
    "P0": Status.BAD_REQUEST,
}
_SQLITE: Final = {
    1: Status.BAD_REQUEST,  # SQLITE_ERROR: syntax, unknown tables
    3: Status.ACCESS_DENIED,
    5: Status.UNAVAILABLE,  # SQLITE_BUSY
    6: Status.UNAVAILABLE,  # SQLITE_LOCKED
    8: Status.BAD_REQUEST,  # SQLITE_READONLY
    9: Status.TIMEOUT,  # SQLITE_INTERRUPT
    14: Status.CONNECTION_ERROR,  # SQLITE_CANTOPEN
    18: Status.BAD_REQUEST,  # SQLITE_TOOBIG
    19: Status.BAD_REQUEST,  # SQLITE_CONSTRAINT
    20: Status.BAD_REQUEST,  # SQLITE_MISMATCH
    21: Status.BAD_REQUEST,  # SQLITE_MISUSE
    23: Status.ACCESS_DENIED,
    25: Status.BAD_REQUEST,  # SQLITE_RANGE
}
