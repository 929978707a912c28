"""Pictures of the graph endpoint: errors, changes and heat maps drawn."""

import math

import pytest
from tests.metrics.api.graphing import BY_APP, PNG, T0, Graphs

from breakwater.model import Change, ChangeKind

BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


def test_browsers_see_errors_as_pictures(graphs: Graphs) -> None:
    """With status 200, because they do not show the body of another; programs get JSON."""
    url, params = "/api/v1/graph", {"q": "name,:eq", "w": "400", "theme": "dark"}
    picture = graphs.client.get(url, params=params, headers=BROWSER)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(PNG)
    assert picture.headers["x-breakwater-status"] == "400"
    svg = graphs.client.get(url, params={**params, "format": "svg"}, headers=BROWSER)
    assert "no matches for word" in svg.text
    data = graphs.client.get(url, params={**params, "format": "std.json"}, headers=BROWSER)
    assert data.status_code == 400
    assert graphs.client.get(url, params=params).status_code == 400


def test_changes_are_drawn_on_pictures(graphs: Graphs) -> None:
    """All kinds unless the request chooses; a lasting one ends with the graph."""
    graphs.journal.held = [
        Change(kind=ChangeKind.DEPLOY, target="ranker", start_ms=T0, actor="a", source="s"),
        Change(kind=ChangeKind.FAULT, target="edge", start_ms=T0 + 1500, actor="a", source="s"),
    ]
    wide = {"s": "e-60s"}
    svg = graphs.get(BY_APP, format="svg", **wide).text
    assert "deploy ranker" in svg
    assert "fault edge" in svg
    assert graphs.journal.asked[0][:2] == (T0 - 57_000, T0 + 3000)
    chosen = graphs.get(BY_APP, format="svg", changes="fault", **wide).text
    assert "deploy ranker" not in chosen
    assert "fault edge" in chosen
    assert "fault edge" not in graphs.get(BY_APP, format="svg", changes="none", **wide).text


def test_v2_json_has_changes_when_asked(graphs: Graphs) -> None:
    """As vspans from their start to their end."""
    graphs.journal.held = [
        Change(kind=ChangeKind.FAULT, target="edge", start_ms=T0 + 1500, actor="a", source="s")
    ]
    assert graphs.entries("1", "vspan") == []
    (span,) = graphs.entries("1", "vspan", changes="all")
    assert (span["label"], span["t1"], span["t2"]) == ("fault edge", T0 + 1500, T0 + 3000)


def test_a_journal_that_cannot_be_read_does_not_stop_the_picture(graphs: Graphs) -> None:
    """What is missing is said below it."""
    graphs.journal.is_down = True
    assert "changes are not drawn: the disk is full" in graphs.get("1", format="svg").text


def test_a_heat_map_counts_lines_in_cells(graphs: Graphs) -> None:
    """Rows from below, each with its range; colours with theirs."""
    (heat,) = graphs.entries(f"{BY_APP},:heatmap", "heatmap", heatmap_label="nodes")
    rows = [(row["min"], row["max"]) for row in heat["yTicks"]]
    assert all(low < high for low, high in rows)
    assert rows[0][0] <= 1.0
    assert rows[-1][1] >= 10.0
    counts = heat["data"]["values"]
    assert [sum(column) for column in counts] == [3.0, 2.0, 3.0]
    at = next(place for place, (low, high) in enumerate(rows) if low <= 5.0 < high)
    assert counts[1][at] == 2.0
    assert heat["label"] == "nodes"
    assert len(heat["colorTicks"]) == 9
    assert graphs.get(f"{BY_APP},:heatmap", format="png").content.startswith(PNG)


def test_a_heat_map_of_percentiles_spreads_each_bucket(graphs: Graphs) -> None:
    """A bucket's count falls into the cells it overlaps, in proportion."""
    (heat,) = graphs.entries("name,wait,:eq,:percentiles-heatmap", "heatmap")
    assert [sum(column) for column in heat["data"]["values"]] == pytest.approx([4.0] * 3)
    rows = heat["yTicks"]
    assert rows[0]["min"] <= 0.02 <= rows[-1]["max"] < 0.1


def test_a_heat_map_takes_its_own_palette_bounds_and_scale(graphs: Graphs) -> None:
    """The parameters that begin with heatmap_."""
    given = {
        "heatmap_palette": "(,000001,000002,)",
        "heatmap_l": "1",
        "heatmap_u": "3",
        "heatmap_scale": "log",
    }
    (heat,) = graphs.entries(f"{BY_APP},:heatmap", "heatmap", **given)
    assert [tick["color"] for tick in heat["colorTicks"]] == ["ff000001", "ff000002"]
    assert (heat["lower"], heat["upper"], heat["colorScale"]) == ("1.0", "3.0", "LOGARITHMIC")
    assert heat["colorTicks"][0]["max"] == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize("scale", ["linear", "log", "log-linear", "pow2", "sqrt"])
@pytest.mark.parametrize("program", ["0,:heatmap", "-3,:heatmap", "name,none,:eq,:heatmap"])
def test_a_heat_map_of_little_is_one_too(graphs: Graphs, program: str, scale: str) -> None:
    """Of one value, of negative ones, of none at all."""
    (heat,) = graphs.entries(program, "heatmap", scale=scale)
    assert heat["yTicks"][0]["min"] < heat["yTicks"][-1]["max"]


def test_vision_changes_colours(graphs: Graphs) -> None:
    """What a colour-blind reader sees, in pictures and in v2.json."""
    seen = graphs.entries("1,f00,:color", "timeseries", vision="achromatopsia")[0]["color"]
    assert seen[2:4] == seen[4:6] == seen[6:8]
