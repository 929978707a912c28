from breakwater.drill import NO_FAULT, Scenario, score_rounds
from breakwater.drill.score import Naming, Round, played


def _round(target: str | None, named: str | None, *ranked: str, seconds: float = 9.0) -> Round:
    scenario = Scenario(fault="errors" if target else NO_FAULT, target=target)
    return played(
        scenario,
        ranked=list(ranked),
        naming=Naming(service=named, seconds=seconds, kind="errors") if named else None,
        verdict="culprit" if named else "nothing_wrong",
    )


def test_shares_are_of_rounds_with_a_fault_only() -> None:
    """Quiet rounds cannot raise the score."""
    score = score_rounds(
        [_round("a", "a", "a"), _round("b", "c", "c", "b"), _round(None, None)], seed=1
    )
    assert score.top1 == 0.5
    assert score.top3 == 1.0


def test_naming_anybody_in_a_quiet_round_is_counted() -> None:
    """A false naming is a false naming even if nobody minds."""
    assert score_rounds([_round(None, "a", "a"), _round(None, None)], seed=1).false_namings == 1


def test_being_ranked_first_is_not_being_named() -> None:
    """Top-1 needs the watcher to commit itself."""
    score = score_rounds([_round("a", None, "a")], seed=1)
    assert score.top1 == 0.0
    assert score.top3 == 1.0
    assert score.median_s is None


def test_the_median_is_over_named_faults() -> None:
    """Seconds of quiet rounds do not count."""
    score = score_rounds(
        [_round("a", "a", "a", seconds=5), _round("b", "b", "b", seconds=15)], seed=1
    )
    assert score.median_s == 10.0


def test_instance_and_edge_are_right_only_with_the_service() -> None:
    """The right instance of the wrong service is luck."""
    scenario = Scenario(fault="freeze", target="a", instance="a-1")
    naming = Naming(service="b", seconds=3.0, kind="freeze", instance="a-1")
    wrong = played(scenario, ranked=["b"], naming=naming, verdict="culprit")
    assert wrong.instance_right is False
    assert wrong.kind_right is False
