"""`breakwater version`."""

import click

from breakwater import __version__


@click.command()
def version() -> None:
    """Print the version of this installation."""
    click.echo(__version__)
