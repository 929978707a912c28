"""`breakwater triage`: ask a running server whose fault it is."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec

from breakwater.incidents.triage import TriageResult
from breakwater.terminal import ask, json_option, server_option, token_option


@click.command()
@click.option("--start", type=int, help="Start of the window, milliseconds UTC.")
@click.option("--end", type=int, help="End of the window, milliseconds UTC.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report to this file too.")
@click.option("--png", type=click.Path(path_type=Path), help="Write the chart to this file too.")
@server_option
@token_option
@json_option
def triage(
    start: int | None,
    end: int | None,
    html: Path | None,
    png: Path | None,
    server: str,
    token: str,
    *,
    as_json: bool,
) -> None:
    """Name the broken service from the last minutes of telemetry, with evidence."""

    def get(query: Mapping[str, int | str]) -> bytes:
        return ask(server, f"/api/v1/triage?{urlencode(query)}", token=token)

    body = get({key: at for key, at in (("start", start), ("end", end)) if at is not None})
    result = msgspec.json.decode(body, type=TriageResult)
    same = {"start": result.diagnosis.start_ms, "end": result.diagnosis.end_ms}
    for path, shape in ((html, "html"), (png, "png")):
        if path is not None:
            path.write_bytes(get({**same, "format": shape}))
    if as_json:
        click.echo(body)
        return
    from rich.console import Console  # noqa: PLC0415 - JSON output does without

    from breakwater.incidents.text import print_triage  # noqa: PLC0415

    console = Console()
    print_triage(result, console)
    for path in (html, png):
        if path is not None:
            console.print(f"written: {path}")
