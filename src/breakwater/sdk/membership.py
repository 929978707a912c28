"""This process as a member of the fleet: its own lease, where the others are, and its leaving."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from breakwater.model import CalleeReport, Clock, InstanceKey
from breakwater.sdk.discovery import (
    BalancerConfig,
    Lease,
    LeaseStats,
    RegistryView,
    Reporter,
    ReporterStats,
    Resolver,
    ViewFile,
    ViewStats,
)
from breakwater.sdk.drain import Drain, DrainStats, TermCatcher
from breakwater.sdk.settings import ServiceSettings

if TYPE_CHECKING:
    from random import Random

    from breakwater.sdk.guard import Guards


class Membership:
    """Everything between this process and the registry.

    A process without a port takes no lease; one without a registry knows nobody but those that
    were pinned. `metadata` is told of this process from the next registration on.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        guards: "Guards",
        *,
        clock: Clock,
        random: "Random",
        balancing: BalancerConfig | None = None,
    ) -> None:
        file = ViewFile(settings.view_file, clock) if settings.view_file else None
        registry = settings.registry
        self._settings = settings
        self._view = RegistryView(registry, clock=clock, random=random, file=file)
        self._lease = (
            Lease(registry, settings, clock=clock, random=random)
            if registry and settings.port
            else None
        )
        self.resolver = Resolver(
            self._view,
            settings.zone,
            clock=clock,
            random=random,
            caller=settings.instance,
            balancing=balancing,
        )
        caller = InstanceKey(service=settings.service, instance_id=settings.instance)
        self._guards = guards
        self._reporter = Reporter(registry, caller, self._seen, clock)
        self.drain = Drain(clock)
        self._catcher: TermCatcher | None = None

    def _seen(self) -> list[CalleeReport]:
        """What was seen of each instance since the last look, and how its breaker stands."""
        return [
            msgspec.structs.replace(one, breaker=self._guards.breaker_of(one.service))
            for one in self.resolver.take_report()
        ]

    def tell(self, key: str, value: str) -> None:
        """Have `key` in the metadata of this process from its next registration on."""
        if self._lease is not None:
            self._lease.metadata[key] = value

    def start(self, *, once_listening: bool) -> None:
        """Take the lease (once the own port listens, if so asked) and follow the registry."""
        self.drain.reopen()
        self._view.start()
        self._reporter.start()
        if self._lease is not None:
            self._lease.start(once_listening=once_listening)

    def wait_first(self, timeout_s: float) -> None:
        """Wait until the registry answered once or failed to, at most `timeout_s`."""
        self._view.wait_first(timeout_s)

    def stop(self) -> None:
        """Give the lease up and stop following; what is known stays known."""
        self.drain.hurry()
        self._leave()
        self._reporter.stop()
        self._view.stop()

    def leave_in_peace(self, limit_s: float | None = None) -> DrainStats:
        """See `Drain.run`; by default as long as the settings allow."""
        return self.drain.run(self._leave, self._settings.drain_s if limit_s is None else limit_s)

    def _leave(self) -> None:
        if self._lease is not None:
            self._lease.stop()

    def drain_on_sigterm(self, then: Callable[[Callable[[], None]], object]) -> None:
        """Put a drain before what SIGTERM does; `then` calls something on the main thread."""
        if self._lease is None or not self._settings.drain_s or self._catcher is not None:
            return
        catcher = TermCatcher(self.leave_in_peace, then)
        if catcher.set():
            self._catcher = catcher

    def forget_sigterm(self) -> None:
        """Let SIGTERM do what it did before."""
        catcher, self._catcher = self._catcher, None
        if catcher is not None:
            catcher.unset()

    def lease_stats(self) -> LeaseStats | None:
        """How the lease fares, None without one."""
        return None if self._lease is None else self._lease.stats()

    def view_stats(self) -> ViewStats:
        """How much is known of the others."""
        return self._view.stats()

    def reporter_stats(self) -> ReporterStats:
        """What was told of the others."""
        return self._reporter.stats()
