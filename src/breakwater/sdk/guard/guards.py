"""All guarded commands of a process, by name; what they share, and how they are configured."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from breakwater.model import Clock, SystemClock
from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.config import CommandConfig, SheddingConfig
from breakwater.sdk.guard.events import BreakerState, Kind, SettingChanged
from breakwater.sdk.guard.hooks import Hooks, HookStats
from breakwater.sdk.guard.travel.defaults import default_registry
from breakwater.sdk.guard.travel.shared import Shared
from breakwater.sdk.guard.tuning.audit import Audit, AuditStats, ConfigChange

if TYPE_CHECKING:
    from random import Random

    from breakwater.sdk.faults import RuleBook
    from breakwater.sdk.guard.command import Command
    from breakwater.sdk.guard.events import Scope, Source
    from breakwater.sdk.guard.limiting.shedding import Shedder, SheddingStats
    from breakwater.sdk.guard.travel.reading import CommandStats

C = TypeVar("C", CommandConfig, SheddingConfig)
Overlay = Callable[["Command", CommandConfig], CommandConfig]
"""Gives the configuration in force from the one a command was made with."""

ServerOverlay = Callable[["Server", SheddingConfig], SheddingConfig]
"""The same of a server."""

OriginOf = Callable[[str, str], "tuple[Source, Scope]"]
"""Where the value of a key in force comes from, by name of command and key."""


_BY_SEVERITY: Final = (
    BreakerState.METRICS_ONLY,
    BreakerState.DISABLED,
    BreakerState.CLOSED,
    BreakerState.HALF_OPEN,
    BreakerState.OPEN,
    BreakerState.FORCED_OPEN,
)
"""From the state that admits most to the one that admits nothing."""


class Server(msgspec.Struct, frozen=True, eq=False):
    """A server of this process as live settings see it; its group is `SERVERS`."""

    name: str
    shedder: "Shedder"
    configured: SheddingConfig


SERVERS: Final = "server"


class GuardsStats(msgspec.Struct, frozen=True, kw_only=True):
    """All commands and servers of a registry, its hooks, and what changed in configurations."""

    commands: "list[CommandStats]"
    hooks: HookStats
    configuration: AuditStats
    servers: "dict[str, SheddingStats]" = {}


class Guards:
    """A registry of commands that share clock, randomness, hooks, retry budgets and thread pools.

    sleep: how a sync call waits between attempts. faults: rules of faults on purpose, which act on
    attempts of these commands; a `Service` gives its own. Names are unique; `command` refuses a
    second one unless told to replace the first, which then goes on working for whoever holds it.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        random: "Random | None" = None,
        sleep: Callable[[float], None] = time.sleep,
        faults: "RuleBook | None" = None,
    ) -> None:
        if random is None:
            from random import Random  # noqa: PLC0415 - off the path of an import

            random = Random()  # noqa: S311 - jitter, no secrets
        self.shared = Shared(clock or SystemClock(), random, sleep, faults)
        self.shared.hooks.on_change = self._reopen_all
        if faults is not None:
            faults.on_change = self._reopen_all
        self._commands: dict[str, Command] = {}
        self._configured: dict[str, CommandConfig] = {}
        self._servers: tuple[Server, ...] = ()
        self._overlay: Overlay | None = None
        self._server_overlay: ServerOverlay | None = None
        self._origin_of: OriginOf = _from_code
        self._lock = threading.Lock()
        self._applying = threading.RLock()  # one change at a time; an overlay may make a command
        self.audit: Final = Audit()

    @property
    def hooks(self) -> Hooks:
        """Who is told of events of these commands."""
        return self.shared.hooks

    def command(
        self,
        name: str,
        config: CommandConfig | None = None,
        *,
        replace: bool = False,
        **given: Any,
    ) -> "Command":
        """A new command of this registry; `given` as for `Command`."""
        if replace:
            with self._lock:
                self._commands.pop(name, None)
        from breakwater.sdk.guard.command import Command  # noqa: PLC0415 - with the first one

        return Command(name, config or CommandConfig(), guards=self, **given)

    def admit(self, command: "Command", config: CommandConfig) -> None:
        """Enter a command that is being made, and let it go by what is said of it."""
        with self._applying:
            with self._lock:
                if command.name in self._commands:
                    raise SettingsError(
                        f"there is a command {command.name!r} already; names are unique in a "
                        "registry"
                    )
                self._commands[command.name] = command
                self._configured[command.name] = config
            in_force = self._in_force(command, config)
            command.adopt(in_force)
            changes = self._changes(command.name, config, in_force)
        self._tell(command.name, command.group, changes)

    def __iter__(self) -> "Iterator[Command]":
        """All commands, in the order they were made."""
        return iter(tuple(self._commands.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._commands)

    def __contains__(self, name: str) -> bool:
        """Whether there is a command of this name."""
        return name in self._commands

    def get(self, name: str) -> "Command | None":
        """The command of this name."""
        return self._commands.get(name)

    def breaker_of(self, dependency: str) -> str:
        """The state of the breakers before `dependency`, the one that admits least; "" for none."""
        states = [
            command.parts.breaker.state
            for command in self
            if command.dependency.lower() == dependency.lower() and command.parts.breaker
        ]
        return max(states, key=_BY_SEVERITY.index).value if states else ""

    def configure(self, name: str, config: CommandConfig) -> None:
        """Give a command another configuration, beneath the overlay. Raises SettingsError."""
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(sorted(self._commands)) or "none"
            raise SettingsError(f"there is no command {name!r}; known: {known}")
        command.configure(config)

    def reconfigure(self, command: "Command", config: CommandConfig) -> None:
        """See `Command.configure`; one that was replaced here goes by itself."""
        with self._lock:
            is_ours = self._commands.get(command.name) is command
            if is_ours:
                self._configured[command.name] = config
        self._bring_up_to_date(command, None if is_ours else config)

    def shedder(
        self, name: str, config: SheddingConfig | None, *, random: "Random | None" = None
    ) -> "Shedder":
        """The gate of a server of this process. config: None sheds nothing until a setting says so.

        name: of the kind of server, such as `http`; a second one of a kind is `http-2`.
        """
        from breakwater.sdk.guard.limiting.shedding import Shedder  # noqa: PLC0415 - for servers only

        if config is None:
            config = SheddingConfig(enabled=False)
        with self._applying:
            count = sum(one.name.partition("-")[0] == name for one in self._servers)
            shedder = Shedder(config, random=random or self.shared.random)
            server = Server(name if not count else f"{name}-{count + 1}", shedder, config)
            self._servers = (*self._servers, server)
        self._bring_server(server)
        return shedder

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers of this process, in the order they were made."""
        return self._servers

    @property
    def sheds(self) -> bool:
        """Whether any of them may refuse a request, or did."""
        return any(one.shedder.is_in_use for one in self._servers)

    def lay_over(
        self,
        overlay: Overlay | None,
        origin_of: OriginOf | None = None,
        of_servers: ServerOverlay | None = None,
    ) -> None:
        """Let `overlay` decide what is in force, from now on and for commands still to be made.

        Calling it again brings all commands up to date with what the overlay now says.
        """
        with self._applying:
            self._overlay = overlay
            self._server_overlay = of_servers
            self._origin_of = origin_of or _from_code
        for command in self:
            self._bring_up_to_date(command)
        for server in self._servers:
            self._bring_server(server)

    def _bring_up_to_date(self, command: "Command", own: CommandConfig | None = None) -> None:
        """own: what it goes by, whatever others say."""
        with self._applying:
            before = command.config
            if own is not None:
                config = own
            else:
                config = self._in_force(command, self._configured.get(command.name, before))
            if config == before:
                return
            command.adopt(config)
            changes = self._changes(command.name, before, config)
        self._tell(command.name, command.group, changes)

    def _bring_server(self, server: Server) -> None:
        with self._applying:
            before, overlay = server.shedder.config, self._server_overlay
            config = server.configured if overlay is None else overlay(server, server.configured)
            if config == before:
                return
            server.shedder.configure(config, self.shared.now_s())
            changes = self._changes(server.name, before, config)
        self._tell(server.name, SERVERS, changes)

    def _in_force(self, command: "Command", config: CommandConfig) -> CommandConfig:
        return config if self._overlay is None else self._overlay(command, config)

    def _changes(self, name: str, before: C, after: C) -> list[ConfigChange]:
        from breakwater.sdk.guard.tuning.keys import differences  # noqa: PLC0415 - with a command

        at_ms, origin_of = self.shared.clock.now_ms(), self._origin_of
        found = []
        for key, old, new in differences(before, after):
            source, scope = origin_of(name, key)
            change = ConfigChange(
                at_ms=at_ms, command=name, key=key, old=old, new=new,
                source=source, scope=scope,
            )  # fmt: skip
            self.audit.note_change(change)
            found.append(change)
        return found

    def _tell(self, name: str, group: str, changes: list[ConfigChange]) -> None:
        """Tell hooks, under no lock."""
        hooks = self.shared.hooks
        if Kind.CONFIG not in hooks.wanted:
            return
        for one in changes:
            hooks.tell(
                SettingChanged(
                    command=name, group=group, at_ms=self.shared.clock.now_ms(),
                    key=one.key, old=one.old, new=one.new, source=one.source, scope=one.scope,
                )
            )  # fmt: skip

    def forget(self, name: str) -> None:
        """Take a command out of the registry; whoever holds it may go on using it."""
        with self._lock:
            self._commands.pop(name, None)
            self._configured.pop(name, None)

    def _reopen_all(self) -> None:
        """Hooks or fault rules changed, and with them the roads that calls may take."""
        with self._applying:
            for command in self:
                command.reopen()

    def stats(self) -> GuardsStats:
        """All commands, in the order they were made."""
        return GuardsStats(
            commands=[command.stats() for command in self],
            hooks=self.hooks.stats(),
            configuration=self.audit.stats(),
            servers={one.name: one.shedder.stats(self.shared.now_s()) for one in self._servers},
        )


def _from_code(command: str, key: str) -> "tuple[Source, Scope]":  # noqa: ARG001 - see OriginOf
    return "code", "command"


def default_guards() -> Guards:
    """The registry of commands that were made without one."""
    made = default_registry()
    assert isinstance(made, Guards), "the front door has it made so"
    return made
