"""Cases produced by the reference implementation of the stack language, on its dataset."""

import json
from pathlib import Path
from typing import Any

import pytest

from breakwater.metrics import MetricsEngine
from breakwater.metrics.conformance import run_file, run_folder
from breakwater.metrics.conformance.__main__ import main
from breakwater.metrics.conformance.dataset import load

FOLDER = Path(__file__).parents[2].parent / "shared" / "conformance" / "atlas"
FILES = sorted(path.name for path in FOLDER.glob("*_cases.jsonl"))
MOST_WAIVED = {"eval_cases.jsonl": 1, "stack_cases.jsonl": 2}

needs_cases = pytest.mark.skipif(not FILES, reason=f"the reference cases are not at {FOLDER}")


@pytest.fixture(scope="module")
def engine() -> MetricsEngine:
    """The reference's dataset, loaded once."""
    return load(FOLDER / "dataset.json")


@needs_cases
@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_case_of_a_file_passes(name: str, engine: MetricsEngine) -> None:
    """No case fails, and no more are waived than the decision on waivers argues."""
    report = run_file(FOLDER / name, engine)
    assert report.failures == []
    assert len(report.waived) <= MOST_WAIVED.get(name, 0), report.waived
    assert report.passed


DATASET = {
    "start": 1_704_067_200_000,
    "step": 60_000,
    "series": [{"tags": {"name": "a", "nf.app": "x"}, "values": [1.0, None, 3.0]}],
}
LINE = {
    "tags": {"name": "a"},
    "label": "sum(name=a)",
    "legend": "sum(name=a)",
    "values": [1.0, None, 3.0],
}
GOOD: dict[str, Any] = {
    "id": "1",
    "q": "name,a,:eq",
    "start": 1_704_067_260_000,
    "end": 1_704_067_440_000,
    "step": 60_000,
    "result": [{"expr": "name,a,:eq,:sum", "settings": {}, "finalGrouping": [], "lines": [LINE]}],
}


def write(folder: Path, name: str, *cases: dict[str, Any]) -> None:
    """A folder with a small dataset and one case file."""
    (folder / "dataset.json").write_text(json.dumps(DATASET))
    (folder / name).write_text("\n".join(json.dumps(case) for case in cases))


def test_a_passing_folder_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The counts of each file are printed and the exit status is 0."""
    write(tmp_path, "eval_cases.jsonl", GOOD, {**GOOD, "error": "any", "q": "name,:eq"})
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "eval_cases.jsonl: 2 passed, 0 failed\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [1.0, None, 3.1]}, "value 2 of sum(name=a): 3.0 where 3.1 is expected"),
        ({"values": [1.0, 0.0, 3.0]}, "value 1 of sum(name=a): nan where 0.0 is expected"),
        ({"label": "b"}, "label: 'sum(name=a)' where 'b' is expected"),
        ({"tags": {"name": "b"}}, "tags of lines"),
    ],
)
def test_a_difference_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A failure says which case, what differs, what was found and what was expected."""
    answer = {**GOOD["result"][0], "lines": [{**LINE, **change}]}
    write(tmp_path, "eval_cases.jsonl", {**GOOD, "result": [answer]})
    (report,) = run_folder(tmp_path)
    assert report.line() == "eval_cases.jsonl: 0 passed, 1 failed"
    assert report.failures[0].startswith("1: ")
    assert message in report.failures[0]
    assert main([str(tmp_path)]) == 1


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("eval_cases.jsonl", {**GOOD, "error": "any"}),
        ("stack_cases.jsonl", {"program": "a,b", "stack_top_first": ["a", "b"]}),
        (
            "stack_cases.jsonl",
            {"program": "a,b,:eq", "vocab": "std", "stack_top_first": ["a,b,:eq"]},
        ),
        ("normalize_cases.jsonl", {"q": "a,b,:eq", "out": ["a,b,:eq"]}),
        ("index_cases.jsonl", {"q": "", "key": "name", "offset": "", "limit": 9, "out": []}),
        ("primitive_cases.jsonl", {"fn": "escape", "in": ",", "out": ","}),
        ("primitive_cases.jsonl", {"fn": "unheard_of", "in": 1, "out": 1}),
        ("normalization_cases.jsonl", {"dstype": "rate", "step": 1000, "in": [], "out": [[0, 1]]}),
        ("validation_cases.jsonl", {"tags": {}, "pass": True}),
        ("validation_cases.jsonl", {"tags": {"name": "aa"}, "pass": False, "rule": "x"}),
        ("strange_cases.jsonl", {}),
        ("query_cases.jsonl", {"query": "a"}),
    ],
)
def test_a_wrong_case_fails(tmp_path: Path, name: str, case: dict[str, Any]) -> None:
    """Every kind of case can fail, so that a passing one means something."""
    write(tmp_path, name, case)
    (report,) = run_folder(tmp_path)
    assert (report.passed, len(report.failures)) == (0, 1)


def test_an_empty_folder_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No cases are not the same as all cases passing."""
    assert main([str(tmp_path)]) == 2
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
