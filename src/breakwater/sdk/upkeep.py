"""What a service does for its guarded commands in the background: live settings, and meters."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from breakwater.sdk.guard import Guards
from breakwater.sdk.meters import Meters
from breakwater.sdk.poll import PollStats
from breakwater.sdk.settings import ServiceSettings

if TYPE_CHECKING:
    from random import Random

    from breakwater.sdk.guard import Command
    from breakwater.sdk.guard.live.configuration import LiveConfig, SourceStats
    from breakwater.sdk.guard.live.push import PlatformSettings
    from breakwater.sdk.guard.live.sources import SettingsFile
    from breakwater.sdk.guardmeters import GuardMeters

_PREFIX: Final = "BREAKWATER_GUARD__"


class LiveStats(msgspec.Struct, frozen=True, kw_only=True):
    """Live settings by source, and the poll for those of the platform."""

    sources: "dict[str, SourceStats]"
    poll: PollStats | None


class Upkeep:
    """Of one service. The environment and the file count from the start, for the first call too."""

    def __init__(
        self,
        guards: Guards,
        settings: ServiceSettings,
        *,
        meters: Meters,
        random: "Random",
        environ: Mapping[str, str],
    ) -> None:
        self._guards = guards
        self._settings = settings
        self._meters = meters
        self._random = random
        self._live: LiveConfig | None = None
        self._file: SettingsFile | None = None
        self._platform: PlatformSettings | None = None
        self._written: GuardMeters | None = None
        if any(name.startswith(_PREFIX) for name in environ):
            from breakwater.sdk.guard.live.sources import put_environment  # noqa: PLC0415 - where used

            put_environment(self.live, environ)
        if settings.guards_file:
            from breakwater.sdk.guard.live import sources  # noqa: PLC0415 - where used

            self._file = sources.SettingsFile(self.live, settings.guards_file)
            self._file.look()

    @property
    def live(self) -> "LiveConfig":
        """The live settings of the service's commands."""
        if self._live is None:
            from breakwater.sdk.guard.live.configuration import LiveConfig  # noqa: PLC0415 - only where used

            self._live = LiveConfig(self._guards)
        return self._live

    def start(self) -> None:
        """Follow the platform's settings."""
        if self._settings.platform is None:
            return
        if self._platform is None:
            from breakwater.sdk.guard.live.push import PlatformSettings  # noqa: PLC0415 - after start

            self._platform = PlatformSettings(
                self.live, self._settings.platform, self._settings, random=self._random
            )
        self._platform.start()

    def stop(self) -> None:
        """Follow no more; what was said last stays in force."""
        if self._platform is not None:
            self._platform.stop()

    def record_calls(self, command: "Command") -> None:
        """Write `ipc.client.call` records for this command."""
        self._meters_of_guards().record_calls(command)

    def _meters_of_guards(self) -> "GuardMeters":
        if self._written is None:
            from breakwater.sdk.guardmeters import GuardMeters  # noqa: PLC0415 - off start's path

            self._written = GuardMeters(self._guards, self._meters, self._settings.service)
        return self._written

    def report(self) -> None:
        """The chore of each second."""
        if self._file is not None:
            self._file.look()
        if self._live is not None:
            self._live.drop_expired()
        if len(self._guards) or self._guards.sheds:
            self._meters_of_guards().report(self._guards.shared.now_s())

    def stats(self) -> LiveStats:
        """Where the settings come from."""
        return LiveStats(
            sources={} if self._live is None else self._live.stats(),
            poll=None if self._platform is None else self._platform.stats(),
        )
