import re
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from tests.diagnosis.simulation import Fault, simulate

from breakwater.diagnosis import diagnose
from breakwater.incidents import TriageResult, html_report, png_report
from breakwater.incidents.report import headline_of
from breakwater.incidents.text import print_triage
from breakwater.model import Change, ChangeKind, UnavailableError

_WINDOW = simulate(1, Fault("freeze", "ranker", 85, zone="a"))
_RESULT = TriageResult(
    diagnosis=diagnose(_WINDOW),
    changes=[
        Change(
            kind=ChangeKind.DEPLOY,
            target="<script>alert(1)</script>",
            start_ms=1_700_000_080_000,
            actor="a",
            source="s",
        )
    ],
)


def test_the_page_stands_alone() -> None:
    """No script, no stylesheet, no picture is fetched from anywhere."""
    page = html_report(_RESULT, _WINDOW)
    assert not re.search(r'(src|href)="https?:', page)
    assert "<script" not in page
    assert "ranker-a-1" in page


def test_a_platform_without_calls_has_a_page_too() -> None:
    """Somebody who only just started the platform gets the reason, not an error."""
    empty = _WINDOW.only(slice(0, 0))
    page = html_report(TriageResult(diagnosis=diagnose(empty)), empty)
    assert "at least" in page
    assert "<svg" not in page
    with pytest.raises(UnavailableError, match="no telemetry yet"):
        png_report(TriageResult(diagnosis=diagnose(empty)), empty)


def test_foreign_text_is_escaped() -> None:
    """What people typed into the journal cannot become part of the page."""
    assert "&lt;script&gt;" in html_report(_RESULT, _WINDOW)


def test_every_drawing_is_well_formed() -> None:
    """Each picture in the page parses as SVG of its own."""
    drawings = re.findall(r"<svg.*?</svg>", html_report(_RESULT, _WINDOW), flags=re.DOTALL)
    assert len(drawings) >= 5
    for drawing in drawings:
        assert ET.fromstring(drawing).tag.endswith("svg")


def test_the_picture_is_a_png() -> None:
    """The chart comes as PNG for where pages cannot go."""
    assert png_report(_RESULT, _WINDOW).startswith(b"\x89PNG\r\n")


def test_the_first_line_says_who_how_sure_and_since_when() -> None:
    """One line is enough for somebody who was just woken up."""
    line = headline_of(_RESULT.diagnosis)
    assert line.startswith("ranker, instance ranker-a-1, stands still")
    assert re.search(r"almost certain, since \d\d:\d\d:\d\d UTC", line)


@pytest.mark.parametrize("width", [60, 120])
def test_the_terminal_shows_line_evidence_books_and_acquittals(width: int) -> None:
    """The first printed line is the headline; all sections follow, whatever the width."""
    console = Console(width=width, file=StringIO())
    print_triage(_RESULT, console)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert text.splitlines()[0].startswith("ranker, instance ranker-a-1")
    for section in ("own impact per hop", "ruled out", "changed by people"):
        assert section in text
