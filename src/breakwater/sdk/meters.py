"""Meters: what a service says about itself, one spectatord line per update.

A meter writes `type:name,tag=value,...:number`; the platform sums, keeps maxima and sorts values
into the 276 percentile buckets. The part before the number is put together once per meter. Tags
that the platform would refuse are mended (characters, lengths) or left out, and counted: a bad
tag must not cost the service anything, and must not go unseen either.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Final, TypeVar

import msgspec

from breakwater.model import Clock, sanitize
from breakwater.model.tags import MAX_USER_TAGS
from breakwater.sdk.lines import LineSender, LineStats

MAX_METERS: Final = 10_000
"""Meters kept per service; beyond, a meter is made anew at each request and still works."""


class MeterStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many meters are known, and what was wrong with what they were given."""

    meters: int
    mended_tags: int
    ignored_values: int
    lines: LineStats


class _Meter:
    """A line prefix and where finished lines go."""

    __slots__ = ("_ignore", "_prefix", "_write")

    def __init__(
        self, prefix: str, write: Callable[[str], None], ignore: Callable[[], None]
    ) -> None:
        self._prefix = prefix
        self._write = write
        self._ignore = ignore

    def _update(self, value: float) -> None:
        if isfinite(value):
            self._write(f"{self._prefix}{value!r}\n")
        else:
            self._ignore()

    def _add(self, amount: float) -> None:
        """As `_update` for quantities that cannot be negative."""
        if 0 <= amount < float("inf"):
            self._write(f"{self._prefix}{amount!r}\n")
        else:
            self._ignore()


_M = TypeVar("_M", bound=_Meter)


class Counter(_Meter):
    """How often something happened."""

    __slots__ = ()

    def increment(self, n: float = 1) -> None:
        """Count `n` more; negative amounts are ignored and counted as such."""
        self._add(n)


class Gauge(_Meter):
    """A level that goes up and down; the last value of a step is kept."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Say what the level is now."""
        self._update(value)


class MaxGauge(_Meter):
    """A level of which the highest value of a step is kept."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Say what the level was."""
        self._update(value)


class Distribution(_Meter):
    """Sizes of something: count, total, squares and maximum per step (percentiles if asked)."""

    __slots__ = ()

    def record(self, amount: float) -> None:
        """Add one size, in the meter's own unit; negative sizes are ignored."""
        self._add(amount)


class Timer(_Meter):
    """Durations in seconds: count, total, squares and maximum per step (percentiles if asked)."""

    __slots__ = ("_clock",)

    def __init__(
        self,
        prefix: str,
        write: Callable[[str], None],
        ignore: Callable[[], None],
        clock: Clock,
    ) -> None:
        super().__init__(prefix, write, ignore)
        self._clock = clock

    def record(self, seconds: float) -> None:
        """Add one duration; negative durations are ignored. Written to nine digits."""
        if 0 <= seconds < float("inf"):
            self._write(f"{self._prefix}{seconds:.9g}\n")
        else:
            self._ignore()

    @contextmanager
    def time(self) -> Iterator[None]:
        """Record how long the `with` block takes, however it ends."""
        start_s = self._clock.monotonic_s()
        try:
            yield
        finally:
            self.record(self._clock.monotonic_s() - start_s)


class Meters:
    """Makes meters that carry the tags common to the whole process.

    Asking again for the same name and tags gives the same meter. All of it may be used from any
    thread.
    """

    def __init__(self, sender: LineSender, common_tags: Mapping[str, str], clock: Clock) -> None:
        self._sender = sender
        self._common = "".join(f",{key}={common_tags[key]}" for key in sorted(common_tags))
        self._clock = clock
        self._made: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Meter] = {}
        self._mended_tags = 0
        self._ignored_values = 0

    def counter(self, name: str, tags: Mapping[str, str]) -> Counter:
        """A counter; its line type is `c`."""
        return self._simple(Counter, "c", name, tags)

    def gauge(self, name: str, tags: Mapping[str, str], *, ttl_s: int | None = None) -> Gauge:
        """A gauge; it lasts `ttl_s` seconds (at least 5) after its last value, else 15 minutes."""
        return self._simple(Gauge, "g" if ttl_s is None else f"g,{max(5, ttl_s)}", name, tags)

    def max_gauge(self, name: str, tags: Mapping[str, str]) -> MaxGauge:
        """A max gauge; its line type is `m`."""
        return self._simple(MaxGauge, "m", name, tags)

    def distribution(
        self, name: str, tags: Mapping[str, str], *, percentiles: bool = False
    ) -> Distribution:
        """A distribution summary, with the 276 buckets if `percentiles`."""
        return self._simple(Distribution, "D" if percentiles else "d", name, tags)

    def timer(self, name: str, tags: Mapping[str, str], *, percentiles: bool = False) -> Timer:
        """A timer, with the 276 buckets if `percentiles` (up to 300 series each: use sparingly)."""
        kind = "T" if percentiles else "t"
        key = (kind, name, tuple(sorted(tags.items())))
        found = self._made.get(key)
        if not isinstance(found, Timer):
            prefix = self._prefix(kind, name, tags)
            found = Timer(prefix, self._sender.write, self._ignore, self._clock)
            self._keep(key, found)
        return found

    def _simple(self, cls: type[_M], kind: str, name: str, tags: Mapping[str, str]) -> _M:
        key = (kind, name, tuple(sorted(tags.items())))
        found = self._made.get(key)
        if not isinstance(found, cls):
            found = cls(self._prefix(kind, name, tags), self._sender.write, self._ignore)
            self._keep(key, found)
        return found

    def _keep(self, key: tuple[str, str, tuple[tuple[str, str], ...]], meter: _Meter) -> None:
        if len(self._made) < MAX_METERS:
            self._made[key] = meter

    def _ignore(self) -> None:
        self._ignored_values += 1

    def _prefix(self, kind: str, name: str, tags: Mapping[str, str]) -> str:
        kept: dict[str, str] = {}
        for key in sorted(tags):
            value = str(tags[key])
            good_key, good_value = sanitize(key), sanitize(value)[:120]
            is_kept = _is_legal_key(good_key) and bool(value) and good_key not in kept
            if is_kept and len(kept) < MAX_USER_TAGS - 1:  # the name is one of them
                kept[good_key] = good_value
            self._mended_tags += kept.get(key) != value
        pairs = "".join(f",{key}={value}" for key, value in kept.items())
        return f"{kind}:{sanitize(name)[:255]}{self._common}{pairs}:"

    def stats(self) -> MeterStats:
        """Meters known, tags mended or left out, values ignored, and the fate of the lines."""
        return MeterStats(
            meters=len(self._made),
            mended_tags=self._mended_tags,
            ignored_values=self._ignored_values,
            lines=self._sender.stats(),
        )


def _is_legal_key(key: str) -> bool:
    """Whether a user may give a tag this key; the others are ours or the platform's."""
    return 2 <= len(key) <= 60 and key != "name" and not key.startswith(("nf.", "atlas."))
