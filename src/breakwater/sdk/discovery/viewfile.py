"""The local copy of the registry on disk, for a process that starts while no registry answers."""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from breakwater.model import Clock, Instance

EVERY_S: Final = 1.0
"""The file is written at most so often; what came later goes with the next change or the end."""
MAX_AGE_MS: Final = 24 * 3_600_000
"""An older copy is not used: addresses are given to others in time."""


class _Copy(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    written_ms: int
    instances: list[Instance]


class ViewFile:
    """Instances kept in the file `path`, written aside and renamed, so that it is always whole.

    Several processes may share it: the last who heard something new has it. A file that cannot be
    read or written is counted in `failures`; the service goes on.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._written_s = -EVERY_S
        self._unwritten: _Copy | None = None
        self.failures = 0

    def read(self) -> list[Instance]:
        """What was kept, if it is not too old; empty otherwise."""
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 - pathlib costs each service 3 ms
                kept = msgspec.json.decode(file.read(), type=_Copy)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError):
            self.failures += 1
            return []
        age_ms = self._clock.now_ms() - kept.written_ms
        return kept.instances if age_ms <= MAX_AGE_MS else []

    def write(self, instances: Sequence[Instance]) -> None:
        """Keep `instances`, heard of just now; within a second of the write before, not yet."""
        self._unwritten = _Copy(written_ms=self._clock.now_ms(), instances=list(instances))
        now_s = self._clock.monotonic_s()
        if now_s - self._written_s >= EVERY_S:
            self._written_s = now_s
            self.finish()

    def finish(self) -> None:
        """Write what waits to be written, if anything does: what is old is not made to look new."""
        copy, self._unwritten = self._unwritten, None
        if copy is None:
            return
        # A name of its own even among processes of one number, as those of containers are.
        aside = f"{self._path}.{os.urandom(6).hex()}"
        try:
            with open(aside, "wb") as file:  # noqa: PTH123 - as above
                file.write(msgspec.json.encode(copy))
            os.replace(aside, self._path)  # noqa: PTH105 - as above
        except OSError:
            self.failures += 1
            with suppress(OSError):
                os.unlink(aside)  # noqa: PTH108 - as above
