"""Words a site adds to the language by its settings: macros, and averages by a second metric."""

import re
from typing import Final

import msgspec

from breakwater.metrics.errors import QueryValueError

_NAME: Final = re.compile(r"[^\s,:()]{1,60}")

INFRASTRUCTURE_KEYS: Final = (
    "nf.account",
    "nf.ami",
    "nf.app",
    "nf.asg",
    "nf.cluster",
    "nf.node",
    "nf.region",
    "nf.shard1",
    "nf.shard2",
    "nf.stack",
    "nf.subnet",
    "nf.vmtype",
    "nf.vpc",
    "nf.zone",
)


class CustomAverage(msgspec.Struct, frozen=True, kw_only=True):
    """`query,:name` divides the sum of a query by the sum of `base_query`.

    The base query is restricted by what the query says about `keys`, and grouped by those of
    `keys` that the whole is grouped by: the only tags the second metric carries.
    """

    name: str
    base_query: str
    keys: tuple[str, ...] = INFRASTRUCTURE_KEYS


AVERAGES: Final = (
    "node-avg=name,poller.asg.instance,:eq",
    "eureka-avg=name,discovery.status,:eq,state,UP,:eq,:and",
)
"""Averages per node that every site has unless its settings say otherwise: `name=query`."""


def named_program(text: str) -> tuple[str, str]:
    """The name and the program of `name=program`; raises QueryValueError."""
    name, sign, program = text.partition("=")
    if not (_NAME.fullmatch(name.strip()) and sign and program.strip()):
        raise QueryValueError(
            f"'{text}' is no word of a site; expected name=program, for example square=:dup,:mul"
        )
    return name.strip(), program.strip()
