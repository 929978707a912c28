"""Words a site adds to the language by its settings: macros, and averages by a second metric."""

import re
from typing import Final

import msgspec

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.settings import INFRASTRUCTURE_KEYS

_NAME: Final = re.compile(r"[^\s,:()]{1,60}")


class CustomAverage(msgspec.Struct, frozen=True, kw_only=True):
    """`query,:name` divides the sum of a query by the sum of `base_query`.

    The base query is restricted by what the query says about `keys`, and grouped by those of
    `keys` that the whole is grouped by: the only tags the second metric carries.
    """

    name: str
    base_query: str
    keys: tuple[str, ...] = INFRASTRUCTURE_KEYS


def named_program(text: str) -> tuple[str, str]:
    """The name and the program of `name=program`; raises QueryValueError."""
    name, sign, program = text.partition("=")
    if not (_NAME.fullmatch(name.strip()) and sign and program.strip()):
        raise QueryValueError(
            f"'{text}' is no word of a site; expected name=program, for example square=:dup,:mul"
        )
    return name.strip(), program.strip()
