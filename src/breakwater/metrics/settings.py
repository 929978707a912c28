"""How much the metrics engine keeps, and how much one query may ask for."""

from typing import Final

import msgspec

from breakwater.metrics.archive_settings import ArchiveSettings
from breakwater.metrics.classes import DEFAULT_CLASSES, RetentionClass
from breakwater.metrics.language.site import AVERAGES, INFRASTRUCTURE_KEYS

_BLOCK_MS: Final = 300_000
_LEAST_SLOTS: Final = 10
_MOST_SLOTS: Final = 60


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
