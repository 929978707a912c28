"""A platform whose clock can be set; started by `test_wrong_clock`.

By how many seconds it is ahead stands in the file `shift` of the working folder, which is read
again and again.
"""

import argparse
from pathlib import Path

from breakwater.model import SystemClock
from breakwater.server.run import serve
from breakwater.server.sources import load

_READ_EVERY_S = 0.05


class ShiftedClock(SystemClock):
    """The clock of the machine, so much ahead as a file says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shift_ms = 0
        self._read_s = -1.0

    def now_ms(self) -> int:
        """The pretended wall-clock time in milliseconds."""
        now_s = self.monotonic_s()
        if now_s > self._read_s + _READ_EVERY_S:
            self._read_s = now_s
            self._shift_ms = int(self._path.read_text()) * 1000
        return super().now_ms() + self._shift_ms


def main() -> None:
    """Serve until a signal comes."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--port", type=int)
    flags.add_argument("--udp-port", type=int)
    flags.add_argument("--data-dir")
    flags.add_argument("--ready-file", type=Path)
    flags.add_argument("--die-with-parent", action="store_true")
    given = flags.parse_args()
    effective = load(
        file=None,
        flags={
            "server.port": given.port,
            "ingest.port": given.udp_port,
            "data_dir": given.data_dir,
        },
        assignments=(),
    )
    serve(effective.settings, ready_file=given.ready_file, clock=ShiftedClock(Path("shift")))


if __name__ == "__main__":
    main()
