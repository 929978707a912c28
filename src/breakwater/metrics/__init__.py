"""Dimensional metrics in memory: a step grid of datapoints, a tag index, the stack language.

`MetricsEngine` takes columns of datapoints from `breakwater.ingest` (it is its `Sink`) and
answers programs such as `name,stream.starts,:eq,:sum,(,result,),:by`. A new series is visible in
the next query; every bound is in `MetricsSettings`; errors name the bound and the count. Given a
folder it comes back after a restart with everything that was acknowledged.
A datapoint stamped t covers (t - step, t]; NaN means there is no value.
"""

from breakwater.metrics.archive.archive import ArchiveStats
from breakwater.metrics.classes.store import ClassStats
from breakwater.metrics.durable.durability import DurabilityStats
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import (
    ArchiveSettingError,
    ArchiveUnavailableError,
    CardinalityLimitError,
    FolderInUseError,
    InvalidClassError,
    InvalidStepError,
    InvalidTimeError,
    MetricsError,
    NotDurableError,
    QueryError,
    QueryLimitError,
    QuerySyntaxError,
    QueryTimeoutError,
    QueryValueError,
    SeriesLimitError,
)
from breakwater.metrics.limits.cardinality import Cardinality
from breakwater.metrics.results import Expression, Line, MetricsStats, QueryResult
from breakwater.metrics.settings import ArchiveSettings, MetricsSettings, RetentionClass

__all__ = [
    "ArchiveSettingError",
    "ArchiveSettings",
    "ArchiveStats",
    "ArchiveUnavailableError",
    "Cardinality",
    "CardinalityLimitError",
    "ClassStats",
    "DurabilityStats",
    "Expression",
    "FolderInUseError",
    "InvalidClassError",
    "InvalidStepError",
    "InvalidTimeError",
    "Line",
    "MetricsEngine",
    "MetricsError",
    "MetricsSettings",
    "MetricsStats",
    "NotDurableError",
    "QueryError",
    "QueryLimitError",
    "QueryResult",
    "QuerySyntaxError",
    "QueryTimeoutError",
    "QueryValueError",
    "RetentionClass",
    "SeriesLimitError",
]
