"""`breakwater metrics export`: have a running server archive what is ready."""

import time
from typing import Final

import click
import msgspec

from breakwater.metrics.archive.archive import ArchiveView
from breakwater.terminal import (
    NoAnswerError,
    ask,
    json_option,
    moment,
    print_table,
    server_option,
    token_option,
)

_PATH: Final = "/api/v1/archive"
_LOOK_EVERY_S: Final = 0.25


@click.command()
@click.option("--show", "is_show", is_flag=True, help="Only show the archive, export nothing.")
@click.option(
    "--wait", "wait_s", default=600.0, show_default=True, help="Seconds to wait for the end of it."
)
@server_option
@token_option
@json_option
def export(*, is_show: bool, wait_s: float, server: str, token: str, as_json: bool) -> None:
    """Write old metrics to the archive now: Parquet files in a folder or an object store.

    Files of hours, of six hours, or of days, after the step of the retention class. What is
    written stays; what is not over yet is not written.
    """
    before = _view(server, token)
    view = before if is_show else _exported(server, token, wait_s)
    if as_json:
        click.echo(msgspec.json.encode(view))
        return
    stats = view.stats
    if not is_show:
        written = stats.exported_chunks - before.stats.exported_chunks
        for path in view.recent[len(view.recent) - written :] if written else []:
            click.echo(f"wrote {path}")
        if not written:
            click.echo("Nothing was ready that is not archived yet.")
    print_table(
        ("archive", "files", "since", "still to be written"),
        [
            (
                view.url,
                str(stats.chunks),
                moment(stats.oldest_ms) if stats.chunks else "-",
                str(len(view.pending)),
            )
        ],
    )
    if stats.failure:
        raise NoAnswerError(stats.failure)


def _view(server: str, token: str, method: str = "GET") -> ArchiveView:
    return msgspec.json.decode(ask(server, _PATH, token=token, method=method), type=ArchiveView)


def _exported(server: str, token: str, wait_s: float) -> ArchiveView:
    """The archive once the server is done with what is ready, or when patience has ended."""
    view = _view(server, token, "POST")
    end_s = time.monotonic() + wait_s
    while view.is_exporting and time.monotonic() < end_s:
        time.sleep(_LOOK_EVERY_S)
        view = _view(server, token)
    return view
