"""How much the metrics engine keeps, and how much one query may ask for."""

from typing import Final

import msgspec

_BLOCK_MS: Final = 300_000
_LEAST_SLOTS: Final = 10
_MOST_SLOTS: Final = 60


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


AVERAGES: Final = (
    "node-avg=name,poller.asg.instance,:eq",
    "eureka-avg=name,discovery.status,:eq,state,UP,:eq,:and",
)
"""Averages per node that every site has unless its settings say otherwise: `name=query`."""


class RetentionClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class: datapoints of `step_ms` for `retention_s`, rolled up from the class before.

    drop_tags: keys that are left out; series that differ in nothing else become one. where: a
    query of the stack language; only series that match are kept, all when it is empty.
    """

    name: str
    step_ms: int
    retention_s: int
    drop_tags: list[str] = []
    where: str = ""


DEFAULT_CLASSES: Final = [
    RetentionClass(name="minutes", step_ms=60_000, retention_s=86_400, drop_tags=["nf.node"])
]
"""A day of minutes without the single node; left out where the store's own step is a minute."""


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The archive of an engine; without a `url` there is none.

    url: a folder, or an object store as `s3://bucket/path`, `gs://`, `az://`; who may use that is
    read from the environment as its own tools do (AWS_ACCESS_KEY_ID, AWS_ENDPOINT and so on).
    classes: names of the retention classes to be archived, `full` for full resolution; without
    any it is the coarsest one. is_exporting: whether new chunks are written; else the archive is
    only read. cache_bytes: values, and as much again for tags, kept in memory for queries.
    """

    url: str = ""
    classes: list[str] = []
    is_exporting: bool = True
    cache_bytes: int = 64 << 20


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Step, retention and limits.

    step_ms: distance of two datapoints, 1 s to 60 s. retention_s: how far back answers reach.
    block_slots: steps in one block; 0 is five minutes, but at least 10 and at most 60 steps. Late
    datapoints reach one block back. raw_blocks: blocks kept uncompressed, at least the two that
    still take writes. is_compressed: whether older blocks are packed.
    max_series_per_name, max_series_per_app: series of one name, and of one value of nf.app, beyond
    which new ones are rolled up (docs/how-to/cardinality.md).
    max_ahead_steps: how far ahead of the clock a datapoint may be stamped.
    max_lines: of one expression's answer. max_points: of all lines of one answer together.
    max_input_points: datapoints one query may read. max_query_bytes: room for its arrays.
    max_values_per_regex: distinct values one pattern may be tried on, after its literal start.
    query_timeout_s: of one HTTP query. cache_entries: parsed programs and plans remembered.
    durable: whether an engine with a folder keeps what it takes there across a restart.
    snapshot_every_s: a snapshot is taken so often, and when the log has grown by max_log_bytes.
    classes: what is kept coarser and longer, each fed from the one before (see `RetentionClass`).
    archive: where what is older still is kept as files.
    words: macros the site adds to the stack language, each as `name=program`.
    custom_averages: words that divide by the sum of a second metric, each as `name=query` of that
    metric. average_keys: the tag keys those metrics carry.
    """

    step_ms: int = 1000
    retention_s: int = 3600
    block_slots: int = 0
    raw_blocks: int = 2
    is_compressed: bool = True
    max_series: int = 1_000_000
    max_series_per_name: int = 200_000
    max_series_per_app: int = 200_000
    max_ahead_steps: int = 10
    max_lines: int = 1024
    max_points: int = 500_000
    max_input_points: int = 500_000_000
    max_query_bytes: int = 1 << 30
    max_values_per_regex: int = 200_000
    query_timeout_s: float = 10.0
    cache_entries: int = 500
    durable: bool = True
    snapshot_every_s: float = 300.0
    max_log_bytes: int = 256 << 20
    classes: list[RetentionClass] = msgspec.field(default_factory=lambda: list(DEFAULT_CLASSES))
    archive: ArchiveSettings = ArchiveSettings()
    words: list[str] = []
    custom_averages: list[str] = msgspec.field(default_factory=lambda: list(AVERAGES))
    average_keys: list[str] = msgspec.field(default_factory=lambda: list(INFRASTRUCTURE_KEYS))

    def __post_init__(self) -> None:
        """Give `block_slots` its number, so that whoever reads it finds one."""
        if not self.block_slots:
            slots = min(max(_BLOCK_MS // max(self.step_ms, 1), _LEAST_SLOTS), _MOST_SLOTS)
            msgspec.structs.force_setattr(self, "block_slots", slots)
