"""What callers are shown, and what leads from one revision to another."""

from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import Instance, InstanceKey
from breakwater.registry.native.board import Board, Difference

BEGUN = 1_000


def instance(service: str, number: int, status: str = "UP") -> Instance:
    """An instance."""
    return Instance(service=service, instance_id=f"i-{number}", host="h", port=1, status=status)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "A", "b", "c"]),
        st.integers(0, 3),
        st.sampled_from(["UP", "DOWN", "gone"]),
    ),
    max_size=40,
)


def shown(board: Board, service: str | None = None) -> dict[InstanceKey, Instance]:
    """What a board shows, by name."""
    return {each.key: each.instance for each in board.shown(service)}


def applied(
    before: dict[InstanceKey, Instance], difference: Difference
) -> dict[InstanceKey, Instance]:
    """What a caller has after it took a difference in."""
    after = {} if difference.since is None else dict(before)
    for key in difference.gone:
        after.pop(key, None)
    return after | {each.key: each.instance for each in difference.shown}


@given(steps=STEPS, capacity=st.integers(1, 50))
def test_differences_lead_from_any_revision_to_the_present(
    steps: list[tuple[str, int, str]], capacity: int
) -> None:
    """Whoever applies what it is told has what is shown, of everything and of each service."""
    board = Board(revision=BEGUN, capacity=capacity)
    history = {service: [(BEGUN, shown(board, service))] for service in (None, "a", "b", "zzz")}
    for service, number, status in steps:
        before = board.revision
        if status == "gone":
            moved = board.remove(service, f"i-{number}")
        else:
            moved = board.put(instance(service, number, status))
        assert moved == (board.revision > before)
        for name, past in history.items():
            past.append((board.revision, shown(board, name)))
    for name, past in history.items():
        for revision, state in past:
            if state != shown(board, name):
                assert board.has_news(revision, name)
            assert applied(state, board.difference(revision, name)) == shown(board, name)


def test_a_service_has_no_news_of_others() -> None:
    """A change of one service is none for who waits for another, and for who waits for all is."""
    board = Board(revision=BEGUN, capacity=100)
    board.put(instance("a", 1))
    revision = board.revision
    board.put(instance("b", 1))
    assert not board.has_news(revision, "a")
    assert not board.has_news(revision, "nobody")
    assert board.has_news(revision, "B")
    assert board.has_news(revision)
    assert board.difference(revision, "a").since == revision
    assert board.difference(revision, "a").shown == []


def test_a_revision_of_another_process_is_not_known() -> None:
    """A revision from before the start, or from the future, is answered with everything."""
    board = Board(revision=BEGUN, capacity=100)
    board.put(instance("a", 1))
    for revision in (None, 0, BEGUN - 1, BEGUN + 2):
        assert board.has_news(revision)
        assert board.difference(revision).since is None
    assert board.difference(BEGUN).since == BEGUN


def test_what_was_forgotten_is_told_whole() -> None:
    """Beyond what is remembered everything is told; services long gone are forgotten too."""
    board = Board(revision=BEGUN, capacity=2)
    for number in range(5):
        board.put(instance(f"s-{number}", 1))
        board.remove(f"s-{number}", "i-1")
    assert board.difference(BEGUN).since is None
    assert board.difference(BEGUN, "s-0").since is None
    assert board.difference(board.revision - 2).gone == [
        InstanceKey(service="s-4", instance_id="i-1")
    ]
    assert len(board._parts) <= 3


def test_another_spelling_of_a_service_is_another_name() -> None:
    """When an instance spells its service differently, the old name is told to be gone."""
    board = Board(revision=BEGUN, capacity=100)
    board.put(instance("ranker", 1))
    revision = board.revision
    board.put(instance("Ranker", 1))
    difference = board.difference(revision, "RANKER")
    assert [each.key.service for each in difference.shown] == ["Ranker"]
    assert difference.gone == [InstanceKey(service="ranker", instance_id="i-1")]
