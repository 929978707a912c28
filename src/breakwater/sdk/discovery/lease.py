"""The lease of this process: registered, renewed until stopped, cancelled at the end.

If the registry forgot us (404) we register again; if it does not answer we try again, pausing
longer each time up to the renewal interval, so that a platform that comes back knows its fleet
within seconds. Nothing here ever raises into the service.
"""

import os
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.model import Clock
from breakwater.sdk.discovery.eureka import app_path, instance_path, registration
from breakwater.sdk.errors import PlatformError
from breakwater.sdk.link import Link
from breakwater.sdk.process import process_started_s
from breakwater.sdk.settings import Address, ServiceSettings

if TYPE_CHECKING:
    from random import Random

REQUEST_TIMEOUT_S: Final = 3.0
FIRST_PAUSE_S: Final = 0.25
STOP_S: Final = 1.5
SETTLE_S: Final = 0.2
LISTEN_S: Final = 5.0
LISTEN_PAUSE_S: Final = 0.02
LISTEN_TRY_S: Final = 0.5


class LeaseStats(msgspec.Struct, frozen=True, kw_only=True):
    """How the lease fares."""

    is_running: bool
    is_registered: bool
    registrations: int
    renewals: int
    failures: int
    last_failure: str


class Lease:
    """Keeps this process registered with status UP from `start` to `stop`, by a daemon thread."""

    def __init__(
        self,
        addresses: tuple[Address, ...],
        settings: ServiceSettings,
        *,
        clock: Clock,
        random: "Random",
    ) -> None:
        self._addresses = addresses
        self._settings = settings
        self._clock = clock
        self._random = random
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._dirty_ms = 0
        self._is_registered = False
        self._may_be_listed = False  # a registration broken off may have arrived all the same
        self._registrations = self._renewals = self._failures = 0
        self._last_failure = ""
        self._link = Link(*addresses)
        self.metadata: dict[str, str] = {}
        """What is told of this process beside its pid, from the next registration on."""

    def start(self, *, once_listening: bool = False) -> None:
        """Start to register and renew; a second call does nothing.

        once_listening: not before something listens on the service's own port, or LISTEN_S have
        passed: servers tell that they start before they listen.
        """
        if self._thread is None:
            self._stopping = threading.Event()
            self._link = Link(*self._addresses)
            self._thread = threading.Thread(
                target=self._run,
                args=(self._stopping, self._link, once_listening),
                name="breakwater-lease",
                daemon=True,
            )
            self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Stop renewing and cancel the lease.

        A request under way has a moment to end, or it could arrive after the cancellation. Each
        registry is asked to cancel, the one that renewed last first, until one answers; a silent
        one is given up after its share of what is left of `timeout_s`.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        due_s = self._clock.monotonic_s() + timeout_s
        self._stopping.set()
        thread.join(min(SETTLE_S, timeout_s))
        self._link.abort()
        thread.join(timeout_s / 4)
        if self._may_be_listed:
            self._cancel(self._link.beside(), due_s)

    def _cancel(self, link: Link, due_s: float) -> None:
        path = instance_path(self._settings)
        for left in range(len(self._addresses), 0, -1):
            share_s = max(SETTLE_S, (due_s - self._clock.monotonic_s()) / left)
            try:
                answer = link.request("DELETE", path, timeout_s=share_s)
            except PlatformError as error:
                self._note(error)  # when nobody answers the lease runs out by itself
                continue
            if answer.status < 500:
                break
            link.turn()
        link.drop()
        self._is_registered = self._may_be_listed = False

    def _run(self, stopping: threading.Event, link: Link, once_listening: bool) -> None:  # noqa: FBT001 - a thread's argument
        if once_listening:
            self._await_listener(stopping)
        pause_s = FIRST_PAUSE_S
        while not stopping.is_set():
            try:
                self._step(link)
                pause_s = FIRST_PAUSE_S
                wait_s = self._settings.renewal_s * self._random.uniform(0.9, 1.0)
            except Exception as error:  # noqa: BLE001 - supervision edge: counted, tried again
                if not stopping.is_set():
                    self._note(error)
                wait_s = pause_s * self._random.uniform(0.5, 1.0)
                pause_s = min(pause_s * 2, self._settings.renewal_s)
            stopping.wait(wait_s)
        link.drop()

    def _await_listener(self, stopping: threading.Event) -> None:
        """Wait until the service's own port takes connections, at most LISTEN_S."""
        import socket  # noqa: PLC0415 - needed at the start only

        due_s = self._clock.monotonic_s() + LISTEN_S
        target = (self._settings.host, self._settings.port)
        while not stopping.is_set() and self._clock.monotonic_s() < due_s:
            try:
                socket.create_connection(target, timeout=LISTEN_TRY_S).close()
            except OSError:
                stopping.wait(LISTEN_PAUSE_S)
            else:
                return

    def _step(self, link: Link) -> None:
        """Renew, or register if there is no lease or the registry lost it."""
        if self._is_registered:
            path = f"{instance_path(self._settings)}?status=UP&lastDirtyTimestamp={self._dirty_ms}"
            answer = link.request("PUT", path, timeout_s=REQUEST_TIMEOUT_S)
            if answer.status == 200:
                self._renewals += 1
                return
            if answer.status != 404:
                link.turn()
                raise PlatformError(f"renewing the lease answered HTTP {answer.status}")
            self._is_registered = False
        self._register(link)

    def _register(self, link: Link) -> None:
        self._dirty_ms = self._clock.now_ms()
        body = registration(
            self._settings, status="UP", metadata=self._metadata(), now_ms=self._dirty_ms
        )
        self._may_be_listed = True
        answer = link.request("POST", app_path(self._settings), body, timeout_s=REQUEST_TIMEOUT_S)
        if answer.status not in (200, 204):
            link.turn()
            raise PlatformError(f"registering answered HTTP {answer.status}: {answer.body[:200]!r}")
        self._is_registered = True
        self._registrations += 1

    def _metadata(self) -> dict[str, str]:
        own = {"pid": str(os.getpid()), "pid_started": f"{process_started_s():.2f}"}
        return {**self.metadata, **own}

    def _note(self, error: Exception) -> None:
        self._failures += 1
        self._last_failure = f"{type(error).__name__}: {error}"

    def stats(self) -> LeaseStats:
        """How the lease fares."""
        thread = self._thread
        return LeaseStats(
            is_running=thread is not None and thread.is_alive(),
            is_registered=self._is_registered,
            registrations=self._registrations,
            renewals=self._renewals,
            failures=self._failures,
            last_failure=self._last_failure,
        )
