"""How much the metrics engine keeps, and how much one query may ask for."""

import msgspec


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Step, retention and limits.

    step_ms: distance of two datapoints, 1 s to 60 s. retention_s: how far back answers reach.
    block_slots: steps in one block. raw_blocks: blocks kept uncompressed, at least the two that
    still take writes. is_compressed: whether older blocks are packed with pcodec.
    max_ahead_steps: how far ahead of the clock a datapoint may be stamped.
    max_lines: of one expression's answer. max_points: of all lines of one answer together.
    max_input_points: datapoints one expression may read.
    max_values_per_regex: distinct values one pattern may be tried on, after its literal start.
    query_timeout_s: of one HTTP query. cache_entries: parsed programs and plans remembered.
    """

    step_ms: int = 1000
    retention_s: int = 3600
    block_slots: int = 60
    raw_blocks: int = 6
    is_compressed: bool = True
    max_series: int = 1_000_000
    max_ahead_steps: int = 10
    max_lines: int = 1024
    max_points: int = 500_000
    max_input_points: int = 500_000_000
    max_values_per_regex: int = 200_000
    query_timeout_s: float = 10.0
    cache_entries: int = 500
