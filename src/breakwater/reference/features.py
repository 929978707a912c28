"""Features from play events, kept up to date as the events arrive.

Per title: starts in a sliding window and a score that fades with time; per account: fading affinity
to titles. Fading is exponential with a stated half-life and is computed when read, so an event
costs O(1) and nothing runs in the background. Memory is bounded; the longest unseen account goes.
"""

from collections import Counter, OrderedDict, deque
from heapq import nlargest
from typing import Final, Literal

import msgspec

from breakwater.model import Clock

WINDOW_S: Final = 60.0
BUCKET_S: Final = 5.0
HALF_LIFE_S: Final = 120.0
MAX_ACCOUNTS: Final = 20_000
MAX_TITLES_PER_ACCOUNT: Final = 50
MAX_EVENTS_PER_POST: Final = 500
EVENT_WEIGHT: Final = {"impression": 0.02, "start": 1.0, "progress": 0.3, "stop": 0.1}


class PlayEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something a viewer did with a title."""

    account: str
    title: str
    kind: Literal["impression", "start", "progress", "stop"]


class AccountFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one viewer now: affinity per title (fading), events ever, and what is hot.

    All empty is the neutral answer, the one to use when features cannot be had.
    """

    account: str
    affinity: dict[str, float] = {}
    events: int = 0
    trending: dict[str, float] = {}


class FeatureStats(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the store and events taken since the process began."""

    events: int
    accounts: int
    titles: int


class Fading:
    """Amounts that halve every `half_life_s`; stored undecayed with the time they were true."""

    def __init__(self, half_life_s: float, limit: int) -> None:
        self._half_life_s = half_life_s
        self._limit = limit
        self._amounts: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._amounts)

    def add(self, key: str, amount: float, now_s: float) -> None:
        """Add to one amount; the smallest of all goes when there are too many."""
        self._amounts[key] = (self.value(key, now_s) + amount, now_s)
        if len(self._amounts) > self._limit:
            smallest = min(self._amounts, key=lambda k: (self.value(k, now_s), k))
            del self._amounts[smallest]

    def value(self, key: str, now_s: float) -> float:
        """The amount as it is now; 0.0 for a key never seen."""
        amount, at_s = self._amounts.get(key, (0.0, now_s))
        return float(amount * 2.0 ** ((at_s - now_s) / self._half_life_s))

    def largest(self, count: int, now_s: float) -> dict[str, float]:
        """The `count` largest amounts, largest first."""
        values = ((self.value(key, now_s), key) for key in self._amounts)
        return {key: value for value, key in nlargest(count, values)}


class SlidingCount:
    """Counts per key over the last `window_s`, exact to one bucket."""

    def __init__(self, window_s: float = WINDOW_S, bucket_s: float = BUCKET_S) -> None:
        self._buckets: deque[tuple[int, Counter[str]]] = deque()
        self._bucket_s = bucket_s
        self._span = round(window_s / bucket_s)
        self._total: Counter[str] = Counter()

    def add(self, key: str, now_s: float, amount: int = 1) -> None:
        """Count `amount` now."""
        slot = self._advance(now_s)
        if not self._buckets or self._buckets[-1][0] != slot:
            self._buckets.append((slot, Counter()))
        self._buckets[-1][1][key] += amount
        self._total[key] += amount

    def count(self, key: str, now_s: float) -> int:
        """What was counted for `key` within the window."""
        self._advance(now_s)
        return self._total[key]

    def largest(self, count: int, now_s: float) -> dict[str, int]:
        """The keys counted most within the window, most first."""
        self._advance(now_s)
        return dict(nlargest(count, self._total.items(), key=lambda item: (item[1], item[0])))

    def _advance(self, now_s: float) -> int:
        slot = int(now_s / self._bucket_s)
        while self._buckets and self._buckets[0][0] <= slot - self._span:
            self._total.subtract(self._buckets.popleft()[1])
            self._total = +self._total
        return slot


class FeatureStore:
    """The rolling pipeline: events in, features out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: OrderedDict[str, tuple[Fading, int]] = OrderedDict()
        self._titles = Fading(HALF_LIFE_S, 5000)
        self._starts = SlidingCount()
        self._events = 0

    def record(self, event: PlayEvent) -> None:
        """Take one event into every feature it touches."""
        now_s = self._clock.monotonic_s()
        amount = EVENT_WEIGHT[event.kind]
        affinity, events = self._accounts.pop(
            event.account, (Fading(HALF_LIFE_S, MAX_TITLES_PER_ACCOUNT), 0)
        )
        affinity.add(event.title, amount, now_s)
        self._accounts[event.account] = (affinity, events + 1)
        if len(self._accounts) > MAX_ACCOUNTS:
            self._accounts.popitem(last=False)
        self._titles.add(event.title, amount, now_s)
        if event.kind == "start":
            self._starts.add(event.title, now_s)
        self._events += 1

    def features(self, account: str, *, limit: int = 20) -> AccountFeatures:
        """The viewer's features now; neutral affinity for a viewer never seen here."""
        now_s = self._clock.monotonic_s()
        affinity, events = self._accounts.get(account, (None, 0))
        return AccountFeatures(
            account=account,
            affinity={} if affinity is None else affinity.largest(limit, now_s),
            events=events,
            trending=self.trending(limit),
        )

    def trending(self, limit: int) -> dict[str, float]:
        """Titles by fading popularity, scaled so that the hottest is 1."""
        hottest = self._titles.largest(limit, self._clock.monotonic_s())
        top = max(hottest.values(), default=0.0)
        return {title: value / top for title, value in hottest.items()} if top else {}

    def starts(self, title: str) -> int:
        """Starts of a title within the last WINDOW_S."""
        return self._starts.count(title, self._clock.monotonic_s())

    def most_started(self, limit: int) -> dict[str, int]:
        """The titles started most within the last WINDOW_S, with their starts."""
        return self._starts.largest(limit, self._clock.monotonic_s())

    def stats(self) -> FeatureStats:
        """Sizes and events since the process began."""
        return FeatureStats(
            events=self._events, accounts=len(self._accounts), titles=len(self._titles)
        )
