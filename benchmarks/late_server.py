"""A platform whose clock is late, so that hours of data can be sent to it in seconds.

Run as `python -m benchmarks.late_server LATE_MS READY_FILE [SECTION.NAME=VALUE ...]`.
"""

import sys
from pathlib import Path

from breakwater.model import SystemClock
from breakwater.server.run import serve
from breakwater.server.sources import load


class _LateClock(SystemClock):
    """The machine's clock, so many milliseconds late."""

    def __init__(self, late_ms: int) -> None:
        self._late_ms = late_ms

    def now_ms(self) -> int:
        """Wall-clock time as it was `late_ms` ago."""
        return super().now_ms() - self._late_ms


def main() -> None:
    """Serve until told to stop."""
    late_ms, ready_file, *assignments = sys.argv[1:]
    settings = load(file=None, flags={}, assignments=assignments).settings
    serve(settings, ready_file=Path(ready_file), clock=_LateClock(int(late_ms)))


if __name__ == "__main__":
    main()
