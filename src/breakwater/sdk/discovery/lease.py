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
        self, address: Address, settings: ServiceSettings, *, clock: Clock, random: "Random"
    ) -> None:
        self._address = address
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
        self._link = Link(address)
        self.metadata: dict[str, str] = {}
        """What is told of this process beside its pid, from the next registration on."""

    def start(self) -> None:
        """Start to register and renew; a second call does nothing."""
        if self._thread is None:
            self._stopping = threading.Event()
            self._link = Link(self._address)
            self._thread = threading.Thread(
                target=self._run,
                args=(self._stopping, self._link),
                name="breakwater-lease",
                daemon=True,
            )
            self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Stop renewing and cancel the lease; gives up on a silent platform after `timeout_s`."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        self._link.abort()
        thread.join(timeout_s)
        if self._may_be_listed:
            self._cancel(Link(self._address), timeout_s)

    def _cancel(self, link: Link, timeout_s: float) -> None:
        try:
            link.request("DELETE", instance_path(self._settings), timeout_s=timeout_s)
        except PlatformError as error:
            self._note(error)  # the lease then runs out by itself
        finally:
            link.drop()
            self._is_registered = self._may_be_listed = False

    def _run(self, stopping: threading.Event, link: Link) -> None:
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

    def _step(self, link: Link) -> None:
        """Renew, or register if there is no lease or the registry lost it."""
        if self._is_registered:
            path = f"{instance_path(self._settings)}?status=UP&lastDirtyTimestamp={self._dirty_ms}"
            answer = link.request("PUT", path, timeout_s=REQUEST_TIMEOUT_S)
            if answer.status == 200:
                self._renewals += 1
                return
            if answer.status != 404:
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
