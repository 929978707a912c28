import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from breakwater.diagnosis.commands import DiagnosisScore, diagnose, score
from breakwater.diagnosis.errors import RecordedIncidentError
from breakwater.diagnosis.petshop import load_petshop
from breakwater.diagnosis.recorded import NodeSeries, RecordedIncident, rank_recorded
from breakwater.topology import CallGraph

DATASETS = Path(__file__).parents[3] / "shared" / "datasets" / "petshop"
needs_data = pytest.mark.skipif(
    not DATASETS.is_dir(), reason="the PetShop incidents are not beside this checkout"
)


@needs_data
def test_recorded_incidents_are_named() -> None:
    """Over all recorded incidents the truth is first in nine of ten and nearly always in three."""
    result = score(
        found for scenario in sorted(DATASETS.glob("*_traffic")) for found in load_petshop(scenario)
    )
    assert len(result.incidents) >= 30
    assert result.top1 >= 0.9
    assert result.top3 >= 0.97


@needs_data
def test_ten_minutes_before_the_page_are_enough(tmp_path: Path) -> None:
    """Without the days of normal operation the rows before the page are the baseline."""
    for scenario in DATASETS.glob("*_traffic"):
        shutil.copytree(
            scenario, tmp_path / scenario.name, ignore=shutil.ignore_patterns("noissue")
        )
    result = score(found for scenario in tmp_path.iterdir() for found in load_petshop(scenario))
    assert result.top1 >= 0.9
    assert result.top3 >= 0.97


@needs_data
def test_names_of_nodes_play_no_part() -> None:
    """Renaming every node at random leaves the place of the truth as it was."""
    rng = np.random.default_rng(1)
    for found in load_petshop(DATASETS / "low_traffic"):
        incident = found.incident
        names = sorted(set(incident.nodes) | set(incident.graph.services))
        alias = dict(zip(names, (f"n{at}" for at in rng.permutation(len(names))), strict=True))
        renamed = RecordedIncident(
            graph=CallGraph((alias[a], alias[b]) for a, b in incident.graph.edges),
            nodes={alias[name]: node for name, node in incident.nodes.items()},
            history={alias[name]: node for name, node in incident.history.items() if name in alias},
            before=incident.before,
            paged=alias[incident.paged],
            metric=incident.metric,
        )
        assert found.truth is not None
        place = rank_recorded(incident).ranked.index(found.truth)
        assert rank_recorded(renamed).ranked.index(alias[found.truth]) == place


@needs_data
def test_command_prints_one_json_object() -> None:
    """`diagnose petshop --json` is for programs: one object with the promised fields."""
    issue = DATASETS / "low_traffic" / "train" / "issue_0"
    outcome = CliRunner().invoke(diagnose, ["petshop", str(issue), "--json"])
    assert outcome.exit_code == 0
    result = msgspec.json.decode(outcome.output, type=DiagnosisScore)
    assert result.incidents[0].ranked[0] == result.incidents[0].truth
    assert result.top1 == 1.0


def test_a_folder_that_is_no_scenario_is_refused(tmp_path: Path) -> None:
    """The error says what a scenario and an issue folder consist of."""
    with pytest.raises(RecordedIncidentError, match=r"graph\.csv.*target\.json"):
        list(load_petshop(tmp_path))


@pytest.mark.parametrize(
    ("target", "metrics", "message"),
    [
        ("{", "", "cannot read"),
        ('{"target": {"node": "a", "metric": "latency", "timestamp": 1}}', "", "header rows"),
        (
            '{"target": {"node": "a", "metric": "colour", "timestamp": 1}}',
            "m,a\nmetric,latency\ns,Average\n1,0.5\n",
            "metric 'colour' is unknown",
        ),
        (
            '{"target": {"node": "z", "metric": "latency", "timestamp": 1}}',
            "m,a\nmetric,latency\ns,Average\n1,0.5\n",
            "'z' has no column",
        ),
        (
            '{"target": {"node": "a", "metric": "latency", "timestamp": 1}}',
            "m,a\nmetric,latency\ns,Average\n1,often\n",
            "often",
        ),
    ],
)
def test_broken_files_are_refused_by_name(
    tmp_path: Path, target: str, metrics: str, message: str
) -> None:
    """What cannot be read is named, with the file it stands in."""
    issue = tmp_path / "test" / "issue_0"
    issue.mkdir(parents=True)
    (tmp_path / "graph.csv").write_text(",a,b\na,0,1\nb,0,0\n")
    (issue / "target.json").write_text(target)
    (issue / "metrics.csv").write_text(metrics)
    with pytest.raises(RecordedIncidentError, match=message):
        list(load_petshop(tmp_path))


def _node(requests: float, latency: list[float], failed: float = 0.0) -> NodeSeries:
    return NodeSeries(
        requests=np.full(5, requests), latency_s=np.array(latency), failed=np.full(5, failed)
    )


def test_a_few_slow_requests_do_not_outweigh_many() -> None:
    """Loss within a quiet node's own shot noise does not accuse it."""
    incident = RecordedIncident(
        graph=CallGraph([("site", "busy"), ("site", "rare")]),
        nodes={
            "site": _node(1000, [0.1, 0.1, 0.13, 0.13, 0.13]),
            "busy": _node(1000, [0.01, 0.01, 0.04, 0.04, 0.04]),
            "rare": _node(12, [3.0, 3.0, 5.0, 5.0, 5.0]),
        },
        history={},
        before=np.array([True, True, False, False, False]),
        paged="site",
        metric="latency",
    )
    assert rank_recorded(incident).ranked[0] == "busy"


def test_calls_that_began_with_the_incident_are_their_callers_fault() -> None:
    """A node nobody called before, and that only fails, was called by mistake."""
    fails = NodeSeries(
        requests=np.array([0.0, 0, 9, 9, 9]),
        latency_s=np.full(5, np.nan),
        failed=np.array([np.nan, np.nan, 1, 1, 1]),
    )
    broken = NodeSeries(
        requests=np.full(5, 50.0),
        latency_s=np.full(5, 0.1),
        failed=np.array([0, 0, 0.18, 0.18, 0.18]),
    )
    incident = RecordedIncident(
        graph=CallGraph([("site", "worker"), ("worker", "wrong-table")]),
        nodes={"site": broken, "worker": broken, "wrong-table": fails},
        history={},
        before=np.array([True, True, False, False, False]),
        paged="site",
        metric="availability",
    )
    assert rank_recorded(incident).ranked[0] == "worker"
