"""The snippets of the how-tos on HTTP clients and servers do what they say."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.sdk.fleet import PATIENCE_S, serving, wsgi_serving
from tests.sdk.streaming import Streamer

HOWTO = Path(__file__).parents[2] / "docs" / "how-to"
SHOWN_PORT = "127.0.0.1:8101"
pytestmark = pytest.mark.slow


def shown(guide: str, heading: str) -> str:
    """The Python of one section."""
    section = (HOWTO / guide).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert found is not None, heading
    return found[1]


def run(guide: str, heading: str, port: int = 0) -> dict[str, Any]:
    """Run it, with another port where it calls somebody."""
    code = shown(guide, heading).replace(SHOWN_PORT, f"127.0.0.1:{port}")
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code, f"{guide}: {heading}", "exec"), names)
    return names


def ask(url: str) -> Any:
    """An offer, with a quarter of a second for it."""
    headers = {"breakwater-deadline-ms": "250"}
    reply = requests.get(f"{url}/v1/offers/7", headers=headers, timeout=PATIENCE_S)
    return reply.json()


@pytest.mark.parametrize("heading", ["httpx", "requests", "aiohttp"])
def test_a_client_is_guarded(
    streamer: Streamer, heading: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The price comes, and the guard has counted the call."""
    names = run("guard-http-clients.md", heading, streamer.port)
    answer = names["reply"].text if "reply" in names else capsys.readouterr().out.strip()
    assert answer == "yes"
    assert names["service"].guards.get("prices").stats().calls["success"] == 1
    for name in ("client", "session"):
        if name in names:
            names[name].close()


def test_an_httpx_client_survives_its_callee() -> None:
    """The snippet's own `except` is enough."""
    names = run("guard-http-clients.md", "httpx", 9)
    assert names["price"](7) == "unknown"
    names["client"].close()


def test_fastapi() -> None:
    """Served by uvicorn."""
    names = run("guard-servers.md", "FastAPI")
    with serving(names["app"]) as port:
        answer = ask(f"http://127.0.0.1:{port}")
    assert (answer["title"], answer["criticality"]) == (7, "critical")
    assert 0 < answer["left_s"] <= 0.25


@pytest.mark.parametrize("heading", ["Flask", "Any WSGI application"])
def test_wsgi(heading: str) -> None:
    """Served by wsgiref."""
    names = run("guard-servers.md", heading)
    app = names.get("app", names.get("application"))
    with wsgi_serving(app) as url:
        reply = requests.get(f"{url}/v1/offers/7", timeout=PATIENCE_S)
    assert reply.text == "hello" or reply.json() == {"title": 7, "left_s": None}
    assert names["service"].stats().servers[0].requests == 1
    names["service"].stop()


def test_aiohttp() -> None:
    """Served by its own runner."""
    from aiohttp import web  # noqa: PLC0415 - only here

    names = run("guard-servers.md", "aiohttp")

    async def serve() -> Any:
        runner = web.AppRunner(names["app"], handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await asyncio.to_thread(ask, f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    answer = asyncio.run(serve())
    assert answer["title"] == "7"
    assert 0 < answer["left_s"] <= 0.25


def test_django() -> None:
    """In a process of its own, for its settings are the process's."""
    before = "from django.conf import settings; settings.configure(ROOT_URLCONF='shop')\n"
    after = "\nprint(type(application).__module__)"
    text = before + shown("guard-servers.md", "Django") + after
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "breakwater.sdk.wsgi\n", done.stderr
