import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.diagnosis.simulation import Fault, simulate
from tests.incidents.replay import FIRST_MS, SETTINGS, Journal, Replay

from breakwater.incidents import TriageResult
from breakwater.incidents.http import routes
from breakwater.incidents.pager import Incident
from breakwater.incidents.watcher import Watcher
from breakwater.model import InvalidInputError
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


async def _client(seconds: int = 72) -> TestClient:
    """A client of a platform that watched a fleet whose licence service broke at second 60."""
    clock = FakeClock(FIRST_MS + 700)
    replay = Replay(simulate(5, Fault("errors", "licence", 60), steps=110), clock)
    watcher = Watcher(replay, Journal(), clock, SETTINGS)
    for _ in range(seconds):
        clock.advance(1.0)
        await watcher.judge_once()
    return TestClient(Starlette(routes=routes(replay, watcher)))


async def test_triage_answers_as_json_page_and_picture() -> None:
    """The same judgement in three formats, each with its media type."""
    client = await _client()
    result = msgspec.json.decode(client.get("/api/v1/triage").content, type=TriageResult)
    assert result.diagnosis.culprit is not None
    assert result.diagnosis.culprit.service == "licence"
    page = client.get("/api/v1/triage?format=html")
    assert page.headers["content-type"].startswith("text/html")
    assert "licence answers with errors" in page.text
    picture = client.get("/api/v1/triage?format=png")
    assert picture.headers["content-type"] == "image/png"


async def test_incidents_are_listed_and_shown() -> None:
    """A paged incident has a number, a record and a report."""
    client = await _client()
    listed = msgspec.json.decode(client.get("/api/v1/incidents").content, type=list[Incident])
    assert [incident.named for incident in listed] == ["licence"]
    one = msgspec.json.decode(client.get("/api/v1/incidents/1").content, type=Incident)
    assert one == listed[0]
    assert "paged" in client.get("/api/v1/incidents/1?format=html").text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/triage?format=gif", "known: json, html, png"),
        ("/api/v1/triage?start=yesterday", "must be a whole number from 0"),
        ("/api/v1/triage?end=%C2%B2", "must be a whole number from 0"),
        ("/api/v1/triage?end=" + "9" * 5000, "must be a whole number from 0"),
        ("/api/v1/incidents/first", "not a whole number"),
        ("/api/v1/incidents/9", "no incident 9 is kept; kept: 1"),
    ],
)
async def test_bad_questions_are_told_what_is_allowed(path: str, message: str) -> None:
    """Every refusal names what was wrong and what would be right."""
    client = await _client()
    with pytest.raises(InvalidInputError, match=message):
        client.get(path)
