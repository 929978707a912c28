"""`breakwater triage`: ask a running server whose fault it is."""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import click
import msgspec

from breakwater.incidents.triage import TriageResult
from breakwater.model import InvalidInputError, UnavailableError


@click.command()
@click.option(
    "--server",
    envvar="BREAKWATER_URL",
    default="http://127.0.0.1:7101",
    show_default=True,
    help="Address of a running `breakwater serve`.",
)
@click.option("--token", envvar="BREAKWATER_TOKEN", help="Access token, where the server asks.")
@click.option("--start", type=int, help="Start of the window, milliseconds UTC.")
@click.option("--end", type=int, help="End of the window, milliseconds UTC.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report to this file too.")
@click.option("--png", type=click.Path(path_type=Path), help="Write the chart to this file too.")
def triage(
    server: str,
    token: str | None,
    start: int | None,
    end: int | None,
    as_json: bool,
    html: Path | None,
    png: Path | None,
) -> None:
    """Name the broken service from the last minutes of telemetry, with evidence."""
    asked = {key: value for key, value in (("start", start), ("end", end)) if value is not None}
    body = _get(server, token, asked)
    result = msgspec.json.decode(body, type=TriageResult)
    same = {"start": result.diagnosis.start_ms, "end": result.diagnosis.end_ms}
    for path, shape in ((html, "html"), (png, "png")):
        if path is not None:
            path.write_bytes(_get(server, token, {**same, "format": shape}))
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


def _get(server: str, token: str | None, query: Mapping[str, int | str]) -> bytes:
    url = f"{server.rstrip('/')}/api/v1/triage?{urlencode(query)}"
    if not url.startswith(("http://", "https://")):
        raise InvalidInputError(f"server '{server}' is not an http:// or https:// address")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=30) as answer:  # noqa: S310 - checked above
            body = answer.read()
    except HTTPError as error:
        raise InvalidInputError(
            f"the server refused ({error.code}): {error.read().decode(errors='replace')[:300]}"
        ) from error
    except (URLError, OSError) as error:
        raise UnavailableError(
            f"no server answers at {server} ({error}); start one with: breakwater serve"
        ) from error
    return bytes(body)
