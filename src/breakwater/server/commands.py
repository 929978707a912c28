"""`breakwater serve` and `breakwater token`."""

import os
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML) to read.")
@click.option("--host", help="Address of the HTTP port.  [server.host]")
@click.option("--port", type=int, help="HTTP port; 0 takes a free one.  [server.port]")
@click.option("--udp-host", help="Address of the UDP port.  [ingest.host]")
@click.option("--udp-port", type=int, help="UDP port; 0 takes a free one.  [ingest.port]")
@click.option("--data-dir", help="Where journal and undo ledger are kept.  [data_dir]")
@click.option("--step-ms", type=int, help="Distance of two datapoints.  [metrics.step_ms]")
@click.option("--log-level", help="debug, info, warning or error.  [log_level]")
@click.option(
    "--set", "assignments", multiple=True, metavar="SECTION.NAME=VALUE", help="Any other setting."
)
@click.option(
    "--show-settings", is_flag=True, help="Print the settings in force and their sources."
)
@click.option(
    "--ready-file", type=click.Path(path_type=Path), help="Write the bound ports there when ready."
)
@click.option("--die-with-parent", is_flag=True, help="End when the starting process ends.")
def serve(
    *,
    config: Path | None,
    host: str | None,
    port: int | None,
    udp_host: str | None,
    udp_port: int | None,
    data_dir: str | None,
    step_ms: int | None,
    log_level: str | None,
    assignments: tuple[str, ...],
    show_settings: bool,
    ready_file: Path | None,
    die_with_parent: bool,
) -> None:
    """Run the platform in one process, until Ctrl-C or SIGTERM.

    Settings come from defaults, then --config (or ./breakwater.toml), then the environment
    (BREAKWATER_SECTION__NAME), then flags. See docs/formats/settings.md.
    """
    parent = os.getppid()
    from breakwater.server.sources import load  # noqa: PLC0415 - brings every room with it

    flags: dict[str, Any] = {
        "server.host": host,
        "server.port": port,
        "ingest.host": udp_host,
        "ingest.port": udp_port,
        "data_dir": data_dir,
        "metrics.step_ms": step_ms,
        "log_level": log_level,
    }
    effective = load(
        file=config,
        flags={name: value for name, value in flags.items() if value is not None},
        assignments=assignments,
    )
    if show_settings:
        from breakwater.server.settings_text import show  # noqa: PLC0415 - only for this flag

        click.echo(show(effective), nl=False)
        return
    if die_with_parent:
        from breakwater.server.parent import die_with_parent as bind_to  # noqa: PLC0415 - rare

        bind_to(parent)
    from breakwater.server.run import serve as run  # noqa: PLC0415 - the heavy part

    run(effective.settings, ready_file=ready_file)


@click.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "chaos"]),
    default="viewer",
    show_default=True,
    help="viewer reads; operator also writes; chaos may also break things.",
)
def token(name: str, role: str) -> None:
    """Make an access token for NAME.

    The token itself is printed once and kept nowhere; the settings get its SHA-256.
    """
    from breakwater.server.auth import digest_of, new_token  # noqa: PLC0415 - brings the rooms
    from breakwater.server.settings_text import literal  # noqa: PLC0415 - brings the rooms

    if not 1 <= len(name) <= 80:
        raise click.BadParameter(f"a name has 1 to 80 characters, this one {len(name)}")
    fresh = new_token()
    entry = {"name": name, "role": role, "sha256": digest_of(fresh)}
    click.echo(fresh)
    click.echo("\nKeep it safe. Add this to breakwater.toml and restart:", err=True)
    lines = [f"{key} = {literal(value)}" for key, value in entry.items()]
    click.echo("\n".join(["\n[[tokens]]", *lines]), err=True)
    if sys.stdout.isatty():
        click.echo("\nUse it as: Authorization: Bearer <token>", err=True)
