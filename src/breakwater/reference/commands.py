"""`breakwater reference`: look at the fleet's plan, or run one of its services in this terminal."""

import click


@click.group()
def reference() -> None:
    """The reference fleet: a small streaming service to break and to diagnose."""


@reference.command()
@click.option("--platform", default="http://127.0.0.1:7101", show_default=True, help="Platform.")
@click.option("--metrics", default="udp://127.0.0.1:1234", show_default=True, help="Meter intake.")
@click.option("--base-port", default=8100, show_default=True, help="First port; 0 = free ones.")
@click.option("--seed", default=1, show_default=True, help="Seed of titles, accounts and people.")
@click.option("--rps", default=60.0, show_default=True, help="Edge requests per second.")
@click.option("--json", "as_json", is_flag=True, help="The specs as JSON.")
def plan(
    *, platform: str, metrics: str, base_port: int, seed: int, rps: float, as_json: bool
) -> None:
    """Print the processes of the fleet, in the order they are started."""
    import msgspec  # noqa: PLC0415 - the command list must stay quick

    from breakwater.model import InvalidInputError  # noqa: PLC0415
    from breakwater.reference.plan import fleet_plan  # noqa: PLC0415

    try:
        specs = fleet_plan(platform, metrics, base_port=base_port, seed=seed, rps=rps)
    except InvalidInputError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(specs), indent=2))
        return
    click.echo(f"{'process':<24}{'zone':<6}{'port':<7}ready")
    for spec in specs:
        click.echo(f"{spec.name:<24}{spec.zone or '-':<6}{spec.port:<7}{spec.ready_url}")


@reference.command()
@click.argument("service")
@click.option("--instance", help="Name of this instance. [default: SERVICE-ZONE-1]")
@click.option("--zone", default="a", show_default=True, help="Zone it runs in.")
@click.option("--port", default=8100, show_default=True, help="Port it listens on.")
@click.option("--platform", default="http://127.0.0.1:7101", show_default=True, help="Platform.")
@click.option("--metrics", default="udp://127.0.0.1:1234", show_default=True, help="Meter intake.")
@click.option("--seed", default=1, show_default=True, help="Seed of titles, accounts and people.")
def serve(
    *,
    service: str,
    instance: str | None,
    zone: str,
    port: int,
    platform: str,
    metrics: str,
    seed: int,
) -> None:
    """Run one SERVICE of the fleet in this process until it is interrupted."""
    import os  # noqa: PLC0415 - the command list must stay quick

    from breakwater.model import InvalidInputError  # noqa: PLC0415
    from breakwater.reference import process  # noqa: PLC0415

    os.environ.update(
        BREAKWATER_SERVICE=service,
        BREAKWATER_INSTANCE=instance or f"{service}-{zone}-1",
        BREAKWATER_ZONE=zone,
        BREAKWATER_PORT=str(port),
        BREAKWATER_URL=platform,
        BREAKWATER_METRICS=metrics,
        BREAKWATER_REFERENCE_SEED=str(seed),
    )
    try:
        process.serve(service)
    except InvalidInputError as error:
        raise click.UsageError(str(error)) from error
