from hypothesis import given
from hypothesis import strategies as st

from breakwater.topology import CallGraph

_EDGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=15)


def test_roots_are_those_nobody_calls() -> None:
    """Users come in where no service calls."""
    graph = CallGraph([("edge", "a"), ("a", "b"), ("cron", "b")])
    assert graph.roots() == ("cron", "edge")
    assert graph.callees("edge") == ("a",)
    assert graph.callers("b") == ("a", "cron")


def test_depth_counts_calls_from_the_nearest_root() -> None:
    """A service behind two paths is as deep as the shorter one."""
    graph = CallGraph([("edge", "a"), ("a", "b"), ("b", "c"), ("edge", "c")])
    assert graph.depth() == {"edge": 0, "a": 1, "c": 1, "b": 2}


def test_path_is_a_shortest_chain_of_calls() -> None:
    """The chain starts at the caller, ends at the callee, and is empty when there is none."""
    graph = CallGraph([("edge", "a"), ("a", "b"), ("edge", "x"), ("x", "y"), ("y", "b")])
    assert graph.path("edge", "b") == ("edge", "a", "b")
    assert graph.path("b", "edge") == ()


@given(_EDGES)
def test_everything_called_is_reachable_and_nothing_else(edges: list[tuple[str, str]]) -> None:
    """Reachability is the closure of the edges, cycles and self calls included."""
    graph = CallGraph(edges)
    for service in graph.services:
        reach = graph.reachable(service)
        assert service in reach
        assert all(callee in reach for name in reach for callee in graph.callees(name))
        assert all(graph.path(service, name) for name in reach)
