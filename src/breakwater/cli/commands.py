"""The table of commands, and a group that imports each only when it is run."""

from importlib import import_module
from typing import Final

import click
import msgspec

from breakwater.cli.errors import CommandMissingError


class LazyCommand(msgspec.Struct, frozen=True):
    """Where a command lives (`module:attribute`) and its line in the overview."""

    target: str
    summary: str


TABLE: Final = {
    "serve": LazyCommand("breakwater.server.commands:serve", "Run the platform in one process."),
    "demo": LazyCommand(
        "breakwater.drill.commands:demo", "Break one service of the reference fleet and find it."
    ),
    "drill": LazyCommand(
        "breakwater.drill.commands:drill", "Many rounds of faults, with the score of the diagnosis."
    ),
    "prove": LazyCommand(
        "breakwater.drill.commands:prove", "Break dependencies whole; show that streams go on."
    ),
    "gameday": LazyCommand(
        "breakwater.drill.commands:gameday", "Restart a fleet, or lose its registry, under load."
    ),
    "triage": LazyCommand(
        "breakwater.incidents.commands:triage", "Name the broken service, from a running server."
    ),
    "diagnose": LazyCommand(
        "breakwater.diagnosis.commands:diagnose", "Name the broken service in recorded incidents."
    ),
    "chaos": LazyCommand("breakwater.chaos.commands:chaos", "Inject faults, and take them back."),
    "guard": LazyCommand(
        "breakwater.guards.commands:guard", "Watch guarded calls, and set what they go by."
    ),
    "metrics": LazyCommand(
        "breakwater.metrics.commands:metrics", "Draw graphs, print numbers, list tags."
    ),
    "registry": LazyCommand("breakwater.registry.commands:registry", "See who is there."),
    "changes": LazyCommand("breakwater.journal.commands:changes", "Record and list changes."),
    "reference": LazyCommand(
        "breakwater.reference.commands:reference", "Run the reference streaming service."
    ),
    "token": LazyCommand("breakwater.server.commands:token", "Make an access token."),
    "version": LazyCommand("breakwater.cli.version:version", "Print the version."),
}


class LazyGroup(click.Group):
    """A group whose commands are named by TABLE and imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        del ctx
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none of that name."""
        del ctx
        entry = TABLE.get(cmd_name)
        return None if entry is None else resolve(cmd_name, entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, written from the table without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in TABLE.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a mistyped name is answered with the nearest ones."""
        import difflib  # noqa: PLC0415 - only a mistake needs it

        name = args[0] if args else ""
        if name and name not in TABLE and not name.startswith("-"):
            near = difflib.get_close_matches(name, TABLE, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"There is no command '{name}'.{hint} Commands: {', '.join(TABLE)}")
        return super().resolve_command(ctx, args)


def resolve(name: str, entry: LazyCommand) -> click.Command:
    """Import a command; raises CommandMissingError when a library it needs is not installed."""
    module, _, attribute = entry.target.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise CommandMissingError(
            f"`breakwater {name}` cannot be loaded: {error.name} is not installed; "
            "the platform's commands need: pip install 'breakwater[server]'"
        ) from error
    assert isinstance(found, click.Command)
    return found
