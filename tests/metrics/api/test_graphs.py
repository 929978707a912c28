"""The graph endpoint: which lines are shown, how they look, and every format."""

import csv
import io
import json
import math
import re
from typing import Any

import pytest
from tests.metrics.api.graphing import BY_APP, PNG, T0, Graphs


def test_std_json_is_a_table_by_time(graphs: Graphs) -> None:
    """Stamps are ends of intervals; what it took is explained."""
    body = graphs.get(BY_APP, format="std.json").json()
    assert (body["start"], body["step"]) == (T0 + 1000, 1000)
    assert body["legend"] == ["api", "db", "www"]
    assert body["metrics"][0] == {"name": "calls", "nf.app": "api"}
    assert body["values"] == [[5.0, 10.0, 1.0], [5.0, 5.0, "NaN"], [5.0, 10 / 3, 3.0]]
    assert body["notices"] == []
    explained = body["explain"]
    assert explained["inputLines"] == 3
    assert (explained["intermediateLines"], explained["graphLines"]) == (3, 3)
    assert (explained["intermediateDatapoints"], explained["graphDatapoints"]) == (9, 9)


def test_a_graph_without_lines_has_its_times(graphs: Graphs) -> None:
    """A row for each, with nothing in it; a picture says that there is nothing."""
    program = "name,none,:eq,(,x,),:by"
    body = graphs.get(program, format="std.json").json()
    assert (body["start"], body["legend"], body["values"]) == (T0 + 1000, [], [[], [], []])
    rows = graphs.get(program, format="csv").text.splitlines()
    assert rows == ['"timestamp"', *(f"2023-11-14T22:13:0{second}Z" for second in (1, 2, 3))]
    (graph,) = graphs.entries(program, "graph-metadata")
    assert (graph["startTime"], graph["endTime"]) == (T0 + 1000, T0 + 4000)
    assert "no values in this time" in graphs.get(program, format="svg").text


def test_json_has_bare_nan(graphs: Graphs) -> None:
    """As clients of Atlas expect; Python reads it too."""
    answer = graphs.get(BY_APP, format="json")
    assert b"[5.0,5.0,NaN]" in answer.content
    assert math.isnan(json.loads(answer.content)["values"][1][2])


def test_stats_json_has_numbers_for_each_line(graphs: Graphs) -> None:
    """A missing value takes part in nothing."""
    body = graphs.get(BY_APP, format="stats.json").json()
    assert (body["start"], body["end"], body["step"]) == (T0 + 1000, T0 + 4000, 1000)
    www = {"count": 2, "avg": 2.0, "total": 4.0, "max": 3.0, "min": 1.0, "last": 3.0}
    assert body["stats"][2] == www
    empty = graphs.get("name,none,:eq", format="stats.json").json()["stats"][0]
    assert (empty["count"], empty["avg"]) == (0, "NaN")


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("txt", "\t")])
def test_csv_and_txt_have_a_row_for_each_time(graphs: Graphs, form: str, separator: str) -> None:
    """Stamps stand in the first time zone; legends are quoted."""
    legend = 'say "hi"'
    answer = graphs.get(f"name,calls,:eq,:sum,{legend},:legend", format=form, tz="Asia/Kolkata")
    rows = list(csv.reader(io.StringIO(answer.text), delimiter=separator))
    assert rows == [
        ["timestamp", 'say "hi"'],
        ["2023-11-15T03:43:01+05:30", "16.0"],
        ["2023-11-15T03:43:02+05:30", "10.0"],
        ["2023-11-15T03:43:03+05:30", repr(5.0 + 3.0 + 10 / 3)],
    ]
    assert answer.headers["content-type"].startswith(f"text/{'csv' if form == 'csv' else 'plain'}")


def test_v2_json_describes_the_graph_then_axes_then_lines(graphs: Graphs) -> None:
    """Everything a browser needs, in that order; an image first unless hints say no."""
    program = f"{BY_APP},:area,2,:lw,40,:alpha,name,calls,:eq,:max,1,:axis"
    body = graphs.get(program, format="v2.json", title="$(name) of $(nf.zone)").json()
    kinds = [entry["type"] for entry in body]
    assert kinds == ["graph-image", "graph-metadata", *["plot-metadata"] * 2, *["timeseries"] * 4]
    assert body[0]["data"].startswith("data:image/png;base64,iVBOR")
    graph = body[1]
    assert (graph["startTime"], graph["endTime"], graph["step"]) == (T0 + 1000, T0 + 4000, 1000)
    assert (graph["title"], graph["legendType"]) == ("calls of nf.zone", "LABELS_WITH_STATS")
    assert (graph["layout"], graph["theme"], graph["timezones"]) == ("CANVAS", "light", ["UTC"])
    assert graph["stats"]["inputLines"] == 6
    assert (body[2]["scale"], body[2]["lower"], body[2]["id"]) == ("LINEAR", "auto-style", 0)
    line = body[4]
    assert (line["plot"], line["label"], line["lineStyle"]) == (0, "api", "AREA")
    assert (line["lineWidth"], line["color"][:2], line["groupByKeys"]) == (2.0, "40", ["nf.app"])
    assert line["tags"] == {"name": "calls", "nf.app": "api", "atlas.offset": "0w"}
    assert line["data"] == {"type": "array", "values": [5.0, 5.0, 5.0]}
    assert re.fullmatch("[0-9a-f]{40}", line["id"])
    assert body[7]["plot"] == 1
    assert body[3]["axisColor"] == body[7]["color"]


@pytest.mark.parametrize(("form", "start"), [("png", PNG), ("svg", b"<svg")])
def test_pictures_have_their_types(graphs: Graphs, form: str, start: bytes) -> None:
    """PNG is what a link without a format gives, except to who accepts JSON."""
    answer = graphs.get(BY_APP, format=form)
    assert answer.content.startswith(start)
    assert answer.headers["content-type"] == {"png": "image/png", "svg": "image/svg+xml"}[form]
    assert graphs.get(BY_APP).content.startswith(PNG)
    wants_json = graphs.get(BY_APP, headers={"accept": "application/json"})
    assert wants_json.json()["legend"] == ["api", "db", "www"]


def test_text_in_pictures_is_escaped(graphs: Graphs) -> None:
    """Whatever stands in a title or a legend stays text."""
    svg = graphs.get("1,<b>&,:legend", format="svg", title="<script>").text
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    assert "&lt;b&gt;&amp;" in svg


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["api", "db", "www"]),
        ("legend,:sort,desc,:order", ["www", "db", "api"]),
        ("desc,:order", ["www", "db", "api"]),
        ("max,:sort", ["www", "api", "db"]),
        ("max,:sort,desc,:order", ["db", "api", "www"]),
        ("count,:sort,1,:limit", ["www"]),
        ("last,:sort,desc,:order,2,:limit", ["api", "db"]),
        ("0,:limit", []),
    ],
)
def test_style_words_sort_and_limit(graphs: Graphs, words: str, expected: list[str]) -> None:
    """The limit counts after sorting."""
    assert graphs.legends(f"{BY_APP},{words}") == expected


def test_an_axis_sorts_all_its_lines(graphs: Graphs) -> None:
    """After the words of each expression, and each axis by its own parameter."""
    program = f"{BY_APP},max,:sort,1,:limit,7,seven,:legend,{BY_APP},1,:axis"
    assert graphs.legends(program) == ["www", "seven", "api", "db", "www"]
    assert graphs.legends(program, sort="avg", order="desc")[0] == "seven"
    second = {"sort.1": "max", "order.1": "desc"}
    assert graphs.legends(program, **second) == ["www", "seven", "db", "api", "www"]


def test_lines_without_values_are_sorted_last_either_way(graphs: Graphs) -> None:
    """NaN is no number to compare."""
    program = "name,none,:eq,:sum,nothing,:legend,2,two,:legend,1,one,:legend"
    assert graphs.legends(program, sort="max") == ["one", "two", "nothing"]
    assert graphs.legends(program, sort="max", order="desc") == ["two", "one", "nothing"]


def test_an_unknown_sort_of_an_axis_is_a_notice(graphs: Graphs) -> None:
    """A link that worked elsewhere still works."""
    body = graphs.get(BY_APP, format="std.json", sort="size").json()
    assert body["legend"] == ["api", "db", "www"]
    assert "sort 'size' is unknown" in body["notices"][0]


def test_colours_stay_when_the_order_changes(graphs: Graphs) -> None:
    """They are handed out by legend, before sorting."""

    def colours(**more: str) -> dict[str, str]:
        lines = graphs.entries(BY_APP, "timeseries", **more)
        return {line["label"]: line["color"] for line in lines}

    assert colours() == colours(sort="max", order="desc")
    assert len(set(colours().values())) == 3


def test_only_shown_lines_take_colours(graphs: Graphs) -> None:
    """So that few of many are as easy to tell apart as few."""
    program = f"{BY_APP},max,:sort,desc,:order,2,:limit"
    lines = graphs.entries(program, "timeseries", palette="(,111111,222222,)")
    found = {line["label"]: line["color"] for line in lines}
    assert list(found.items()) == [("db", "ff222222"), ("api", "ff111111")]


def test_palettes_of_expression_axis_and_graph(graphs: Graphs) -> None:
    """An expression's own palette goes before its axis's, that before the graph's."""
    own, axis, whole = "(,111111,)", "(,222222,)", "(,333333,444444,)"
    program = (
        f"1,{own},:palette,2,3,4,1,:axis,5,f00,:color,6,(,777777,),:palette,80,:alpha,7,80,:alpha"
    )
    lines = graphs.entries(program, "timeseries", palette=whole, **{"palette.1": axis})
    found = [line["color"] for line in lines]
    assert found == [
        "ff111111",
        "ff333333",
        "ff444444",
        "ffff0000",
        "80777777",
        "80333333",
        "ff222222",
    ]


def test_a_hashed_palette_goes_by_the_label(graphs: Graphs) -> None:
    """The same line has the same colour on every graph."""
    everything = {
        line["label"]: line["color"]
        for line in graphs.entries(BY_APP, "timeseries", palette="hash:armytage")
    }
    only = "name,calls,:eq,nf.app,www,:eq,:and,(,nf.app,),:by"
    alone = graphs.entries(only, "timeseries", palette="hash:armytage")
    assert alone[0]["color"] == everything["www"]


def test_shifted_lines_have_a_palette_of_their_own(graphs: Graphs) -> None:
    """And say in their tags how much earlier they were read."""
    program = "name,calls,:eq,:sum,:dup,1s,:offset"
    now, before = graphs.entries(program, "timeseries")
    assert (before["color"], before["tags"]["atlas.offset"]) == ("ff000000", "1s")
    assert now["color"] != "ff000000"
    assert graphs.legends(program) == ["calls", "calls (offset=1s)"]
    body = graphs.get(program, format="std.json").json()
    assert [tags.get("atlas.offset") for tags in body["metrics"]] == [None, "1s"]


def test_stack_of_an_axis_is_the_usual_style_of_its_lines(graphs: Graphs) -> None:
    """A style word goes before it."""
    lines = graphs.entries("1,2,:line,3,1,:axis", "timeseries", **{"stack.0": "1"})
    assert [line["lineStyle"] for line in lines] == ["STACK", "LINE", "LINE"]


def test_parameters_of_axes(graphs: Graphs) -> None:
    """A number behind the name means that axis, no number means all."""
    given = {"u": "10", "l.1": "-5", "scale.1": "log", "o.2": "1", "tick_labels": "binary"}
    axes = graphs.entries("1,2,1,:axis,3,2,:axis", "plot-metadata", **given, ylabel="load")
    assert [axis["upper"] for axis in axes] == ["10.0"] * 3
    assert [axis["lower"] for axis in axes] == ["auto-style", "-5.0", "auto-style"]
    assert [axis["scale"] for axis in axes] == ["LINEAR", "LOGARITHMIC", "LOGARITHMIC"]
    assert {axis["tickLabelMode"] for axis in axes} == {"BINARY"}
    assert {axis["ylabel"] for axis in axes} == {"load"}


def test_an_axis_for_each_line(graphs: Graphs) -> None:
    """Each takes the parameters of its number; colours are those of one axis."""
    shared = [line["color"] for line in graphs.entries(BY_APP, "timeseries")]
    given = {"axis_per_line": "1", "ylabel.2": "third"}
    lines = graphs.entries(BY_APP, "timeseries", **given)
    axes = graphs.entries(BY_APP, "plot-metadata", **given)
    assert [(line["plot"], line["color"]) for line in lines] == list(enumerate(shared))
    assert [axis.get("ylabel") for axis in axes] == [None, None, "third"]
    body = graphs.get("1,2,1,:axis", format="std.json", axis_per_line="1").json()
    assert "has no effect" in body["notices"][0]


def test_a_common_query_narrows_every_expression(graphs: Graphs) -> None:
    """Also those that were frozen, and those of named words."""
    program = f"{BY_APP},:freeze,name,calls,:eq,:sum,rest,:legend"
    narrowed = graphs.get(program, format="std.json", cq="nf.app,www,:eq").json()
    assert [line[0] for line in zip(*narrowed["values"], strict=True)] == [1.0, 1.0]
    assert "expected one query" in graphs.refusal(q=BY_APP, cq="1,2,:add")


def test_time_zones_govern_dates_of_window_and_program(graphs: Graphs) -> None:
    """The first of them: 22:13:02 UTC is 23:13:02 in Paris."""
    window = {"s": "2023-11-14T23:13:00", "e": "2023-11-14T23:13:03"}
    zones = ["Europe/Paris", "UTC"]
    body = graphs.get(BY_APP, format="std.json", tz=zones, **window).json()
    assert (body["start"], len(body["values"])) == (T0 + 1000, 3)
    program = "2023-11-14T23:13:02,2023-11-14T23:20,:time-span"
    span = graphs.get(program, format="std.json", tz=zones, **window).json()
    assert span["values"] == [[0.0], [1.0], [1.0]]
    assert graphs.entries("1", "graph-metadata", tz=zones)[0]["timezones"] == zones


def test_the_step_fits_the_width_of_a_picture_but_data_keep_theirs(graphs: Graphs) -> None:
    """A step off the grid is rounded up, with a notice."""
    wide = {"s": "e-1h", "step": "1s"}
    assert graphs.entries("1", "graph-metadata", w="100", **wide)[0]["step"] == 60_000
    body = graphs.get("1", format="std.json", **wide).json()
    assert (body["step"], body["notices"]) == (1000, [])
    off = graphs.get("1", format="std.json", s="e-1h", step="7s").json()
    assert (off["step"], off["notices"]) == (10_000, ["the step is 10s instead of 7s"])
    automatic = graphs.client.get("/api/v1/graph", params={"q": "1", "format": "json", "w": "50"})
    assert automatic.json()["step"] == 240_000


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "'q' is missing"),
        ({"q": "name,:eq"}, "no matches for word ':eq' at character 5"),
        ({"q": "1", "format": "gif"}, "'format' is 'gif'; expected one of png, svg, csv"),
        ({"q": "1", "s": "e-5x"}, "unknown unit 'x'"),
        ({"q": "1", "step": "0"}, "'step' is '0'"),
        ({"q": "1", "tz": "Mars/North"}, "unknown time zone"),
        ({"q": "1", "tz": ["UTC"] * 9}, "at most 8"),
        ({"q": "1", "w": "none"}, "'w' is 'none'; expected 1 to 10000 pixels"),
        ({"q": "1", "h": "0"}, "'h' is '0'; expected 1 to 10000 pixels"),
        ({"q": "1", "zoom": "20"}, "'zoom' is '20'; expected a number from 0.1 to 10"),
        ({"q": "1", "u.1": "high"}, "'u.1' is 'high'; expected auto-style, auto-data or a number"),
        ({"q": "1", "u": "1", "l": "2"}, "the lower bound must be below the upper"),
        ({"q": "1", "scale": "cubic"}, "expected one of linear, log, log-linear, pow2, sqrt"),
        ({"q": "1", "tick_labels.3": "x"}, "'tick_labels.3' is 'x'; expected one of decimal"),
        ({"q": "1", "order": "up"}, "expected one of asc, desc"),
        ({"q": "1", "theme": "pink"}, "expected one of light, dark"),
        ({"q": "1", "vision": "hawk"}, "expected one of normal, protanopia"),
        ({"q": "1", "layout": "fit"}, "expected one of canvas, image, iw, ih"),
        ({"q": "1", "palette": "none"}, "parameter 'palette': there is no palette 'none'"),
        ({"q": "1", "palette.2": "none"}, "parameter 'palette.2'"),
        ({"q": "1", "heatmap_palette": "none"}, "parameter 'heatmap_palette'"),
        ({"q": "1", "no_legend": "maybe"}, "'no_legend' is 'maybe'; expected 0 or 1"),
        ({"q": "1", "features": "all"}, "expected stable or unstable"),
        ({"q": "1", "changes": "deploy,party"}, "'changes' names 'party'"),
        ({"q": "1,none,:palette", "format": "v2.json"}, "word ':palette'"),
        ({"q": "1,nocolour,:color", "format": "v2.json"}, "word ':color'"),
        ({"q": "1", "s": "e-30d", "format": "std.json"}, "too many points"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused(
    graphs: Graphs, params: dict[str, Any], message: str
) -> None:
    """With its name and what is allowed."""
    assert message in graphs.refusal(**params)


def test_a_misspelt_parameter_is_a_notice(graphs: Graphs) -> None:
    """What is close to a known name was meant to be it; other names are somebody else's."""
    body = graphs.get("1", format="std.json", no_legends="1", utm_source="mail").json()
    assert body["notices"] == ["parameter 'no_legends' is unknown; did you mean 'no_legend'?"]


def test_a_limit_says_what_it_hides(graphs: Graphs) -> None:
    """As a message in v2.json."""
    (message,) = graphs.entries(f"{BY_APP},2,:limit", "message")
    assert message["label"] == "... 2 of 3 lines are shown ..."


def test_what_may_change_is_not_cached(graphs: Graphs) -> None:
    """A window that ended an hour ago may be kept for minutes."""
    now = graphs.get("1", format="std.json")
    assert now.headers["cache-control"] == "no-cache"
    old = graphs.get("1", format="std.json", s="e-10s", e="now-2h")
    assert old.headers["cache-control"] == "private, max-age=300"
