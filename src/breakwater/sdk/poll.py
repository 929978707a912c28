"""Long polls: ask for the next revision, wait for it on the platform's side, begin again.

Used for the registry view and for the fault rules. The platform may be dead, slow, restarted or
talking nonsense: the poll then waits, longer each time up to a limit, with jitter so that a fleet
does not come back as one, and what was known before stays known.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.sdk.errors import PlatformError
from breakwater.sdk.link import Link
from breakwater.sdk.settings import Address

if TYPE_CHECKING:
    from random import Random

WAIT_S: Final = 20.0
MARGIN_S: Final = 5.0
"""What an answer may take beyond the time for which the platform was asked to hold it."""
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
BREATH_S: Final = 0.05
"""Pause after every answer, so that a revision that never rests cannot keep a core busy."""


class PollStats(msgspec.Struct, frozen=True, kw_only=True):
    """How a long poll fares: answers taken in, answers refused or missed, revision held."""

    is_running: bool
    revision: int | None
    answers: int
    failures: int
    last_failure: str


class LongPoll:
    """A daemon thread that keeps asking `path` for what comes after the revision it has.

    address: or several, each as good as the other. accept: takes the body of an answer in and
    returns its revision, None if it wants to be told everything anew; raises ValueError (as
    msgspec's decode errors are) for nonsense. wait_s: how long the platform may hold a request;
    asked again for every request.
    """

    def __init__(
        self,
        address: Address | tuple[Address, ...],
        path: str,
        accept: Callable[[bytes], int | None],
        *,
        random: "Random",
        wait_s: Callable[[], float] = lambda: WAIT_S,
    ) -> None:
        self._addresses = address if isinstance(address, tuple) else (address,)
        self._link = Link(*self._addresses)
        self._path = path
        self._accept = accept
        self._random = random
        self._wait_s = wait_s
        self._stopping = threading.Event()
        self._tried_once = threading.Event()
        self._thread: threading.Thread | None = None
        self._revision: int | None = None
        self._answers = 0
        self._failures = 0
        self._last_failure = ""

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if self._thread is None:
            self._stopping = threading.Event()
            self._link = Link(*self._addresses)
            self._revision = None  # who listens may have let go of what it knew meanwhile
            self._thread = threading.Thread(
                target=self._run,
                args=(self._stopping, self._link),
                name=f"breakwater-poll {self._path}",
                daemon=True,
            )
            self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread, breaking off the request under way."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        self._link.abort()
        if thread is not None:
            thread.join(timeout_s)

    def wait_first(self, timeout_s: float) -> bool:
        """Wait until the first request was answered or failed, at most `timeout_s`."""
        return self._tried_once.wait(timeout_s)

    @property
    def breaks(self) -> int:
        """How often the conversation was broken: failed requests and reopened connections."""
        return self._failures + self._link.reopened

    def _run(self, stopping: threading.Event, link: Link) -> None:
        pause_s = FIRST_PAUSE_S
        while not stopping.is_set():
            try:
                is_news = self._ask(link)
                stopping.wait(BREATH_S if is_news else FIRST_PAUSE_S)
                pause_s = FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001 - supervision edge: counted, tried again
                if not stopping.is_set():
                    self._failures += 1
                    self._last_failure = f"{type(error).__name__}: {error}"
                    self._tried_once.set()
                if len(self._addresses) > 1:
                    self._revision = None  # the next one that is asked counts its own
                stopping.wait(pause_s * self._random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        link.drop()

    def _ask(self, link: Link) -> bool:
        """Ask once; whether the answer was a new revision."""
        wait_s = self._wait_s()
        path = f"{self._path}{'&' if '?' in self._path else '?'}wait_s={wait_s:g}"
        if self._revision is not None:  # without one, the platform answers at once
            path = f"{path}&revision={self._revision}"
        held_s = 0.0 if self._revision is None else wait_s
        answer = link.request("GET", path, timeout_s=held_s + MARGIN_S)
        if answer.status != 200:
            link.turn()
            raise PlatformError(f"GET {path} answered HTTP {answer.status}")
        try:
            revision = self._accept(answer.body)
        except ValueError:
            link.turn()  # another may talk sense
            raise
        is_news, self._revision = revision != self._revision, revision
        self._answers += 1
        self._tried_once.set()
        return is_news

    def stats(self) -> PollStats:
        """How the poll fares."""
        thread = self._thread
        return PollStats(
            is_running=thread is not None and thread.is_alive(),
            revision=self._revision,
            answers=self._answers,
            failures=self._failures,
            last_failure=self._last_failure,
        )
