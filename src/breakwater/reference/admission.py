"""How much work a service takes on, and whose first; services not named here take on everything.

The gateway's own work is small and most of its time is waiting for others, so a limit that follows
latency would shed for their sake: it has a fixed one, and below it the classes that players send
along, so that starts under way are refused last. The ranker computes: its limit is found by itself.
"""

from typing import Final

from breakwater.sdk import AdaptiveConfig, SheddingConfig

SHEDDING: Final = {
    "gateway": SheddingConfig(limit=200),
    "ranker": SheddingConfig(adaptive=AdaptiveConfig(minimum=10, maximum=100), queue=20),
}
