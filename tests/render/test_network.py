"""Dependency graphs and their placement."""

from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.render import ChartError, GraphEdge, GraphNode, graph
from breakwater.render.layers import Box, place
from breakwater.render.network import NodeState

NODE = Box(100.0, 40.0)
LABEL = Box(60.0, 15.0)


def test_edges_point_right() -> None:
    """In a graph without cycles every callee lies right of its caller."""
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    placed = place([NODE] * 4, edges, [LABEL] * 5)
    assert all(placed.layer_of[a] < placed.layer_of[b] for a, b in edges)
    assert not any(route.is_reversed for route in placed.routes)


def test_a_cycle_is_opened_at_one_edge() -> None:
    """Two services that call each other still get different layers; one edge points left."""
    placed = place([NODE] * 2, [(0, 1), (1, 0)], [LABEL] * 2)
    assert placed.layer_of[0] < placed.layer_of[1]
    assert [route.is_reversed for route in placed.routes] == [False, True]


def test_a_tree_is_drawn_without_crossings() -> None:
    """Children keep the order of their parents."""
    edges = [(0, 2), (0, 1), (1, 3), (2, 4), (1, 5), (2, 6)]
    placed = place([NODE] * 7, edges, [LABEL] * 6)
    parents_up = placed.height_of[1] < placed.height_of[2]
    ups, downs = ((3, 5), (4, 6)) if parents_up else ((4, 6), (3, 5))
    assert max(placed.height_of[n] for n in ups) < min(placed.height_of[n] for n in downs)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.data())
def test_nodes_of_a_layer_keep_their_distance(count: int, data: st.DataObject) -> None:
    """No two nodes of one layer come nearer than their heights."""
    node = st.integers(0, count - 1)
    edges = [e for e in data.draw(st.lists(st.tuples(node, node), max_size=30)) if e[0] != e[1]]
    placed = place([NODE] * count, edges, [LABEL] * len(edges))
    for layer in set(placed.layer_of):
        heights = sorted(placed.height_of[n] for n in range(count) if placed.layer_of[n] == layer)
        assert all(b - a >= NODE.height for a, b in pairwise(heights))


TEXTS = st.text(max_size=50)
STATES: st.SearchStrategy[NodeState] = st.sampled_from(get_args(NodeState))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10), st.data())
def test_texts_never_overlap(
    assert_legible: Callable[[str], None], count: int, data: st.DataObject
) -> None:
    """Whatever is called what and calls whom, no text covers another or leaves the picture."""
    nodes = [
        GraphNode(
            id=str(n), label=data.draw(TEXTS), detail=data.draw(TEXTS), state=data.draw(STATES)
        )
        for n in range(count)
    ]
    end = st.integers(0, max(count - 1, 0)).map(str)
    edges = [
        GraphEdge(
            source=source,
            target=target,
            label=data.draw(TEXTS),
            state=data.draw(st.sampled_from(["ok", "culprit", "affected", "idle"])),
            weight=data.draw(st.floats(0, 1e6)),
        )
        for source, target in (
            data.draw(st.lists(st.tuples(end, end), max_size=16)) if count else []
        )
    ]
    svg = graph(nodes, edges, title=data.draw(TEXTS), subtitle=data.draw(TEXTS), remark="now")
    assert_legible(svg)


def test_states_are_written_out() -> None:
    """The culprit can be found without seeing colours."""
    svg = graph([GraphNode(id="ranker", state="culprit")], [])
    assert ">culprit<" in svg


def test_unknown_ends_are_refused() -> None:
    """An edge to nowhere names the missing node."""
    with pytest.raises(ChartError, match="no node 'b'"):
        graph([GraphNode(id="a")], [GraphEdge(source="a", target="b")])


def test_twins_are_refused() -> None:
    """Two nodes of one id cannot be told apart."""
    with pytest.raises(ChartError, match="same id"):
        graph([GraphNode(id="a"), GraphNode(id="a")], [])
