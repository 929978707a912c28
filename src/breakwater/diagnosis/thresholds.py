"""How much is enough: the few numbers a diagnosis is sensitive to."""

import msgspec


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Floors below which a change is not worth waking anybody; all may be set in the settings.

    llr_allowance: what a likelihood ratio must exceed beyond chance. min_drop: share the business
    indicator must lose. min_failed_share: added share of failed calls. min_added_latency_s and
    min_latency_ratio: both must be exceeded by the added mean latency. min_traffic_change: share.
    lasting_steps: a change must still be there in this many last steps. min_baseline_steps: quiet
    steps needed before the onset. min_noise: times a suspect's loss must exceed quiet minutes.
    min_share: part of the whole loss one service must carry to be named alone. min_lost_per_s:
    request-seconds per second it must lose (a failed request counts as one second).
    """

    llr_allowance: float = 20.0
    min_drop: float = 0.3
    min_events: float = 20.0
    min_failures: float = 5.0
    min_failed_share: float = 0.03
    min_added_latency_s: float = 0.015
    min_latency_ratio: float = 0.5
    min_traffic_change: float = 0.2
    lasting_steps: int = 3
    min_baseline_steps: int = 15
    min_noise: float = 5.0
    min_share: float = 0.5
    min_lost_per_s: float = 0.08
