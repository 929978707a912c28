from breakwater.diagnosis import Diagnosis, Kind, Suspect, Verdict
from breakwater.incidents import Incident, IncidentSettings, Phase, advance

_SETTINGS = IncidentSettings(page_after=2, name_after=3, close_after_s=5.0)


def _judged(
    service: str | None,
    verdict: Verdict | None = None,
    *,
    score: float = 9.0,
    kind: Kind = Kind.ERRORS,
) -> Diagnosis:
    suspects = (
        [Suspect(service=service, kind=kind, score=score, share=0.9, noise=50.0)] if service else []
    )
    return Diagnosis(
        verdict=verdict or (Verdict.CULPRIT if service else Verdict.NOTHING_WRONG),
        headline="",
        confidence="",
        start_ms=0,
        end_ms=100_000,
        step_ms=1000,
        onset_ms=90_000,
        signal="failed calls",
        suspects=suspects,
    )


def _play(*answers: Diagnosis, healthy_from: int = 999) -> list[Incident | None]:
    """Feed one judgement a second; from `healthy_from` on the fleet is as good as before."""
    incident: Incident | None = None
    seen = []
    for second, judged in enumerate(answers):
        incident = advance(
            incident,
            judged,
            is_healthy=second >= healthy_from,
            now_ms=100_000 + 1000 * second,
            next_id=1,
            settings=_SETTINGS,
        )
        seen.append(incident)
    return seen


def _phases(incidents: list[Incident | None]) -> list[str | None]:
    return [incident.phase if incident else None for incident in incidents]


def test_harm_must_last_before_it_pages_and_repeat_before_it_is_named() -> None:
    """One judgement suspects, the second pages, the third that agrees names."""
    seen = _play(*[_judged("ranker")] * 4)
    assert _phases(seen) == [Phase.SUSPECTED, Phase.PAGED, Phase.NAMED, Phase.NAMED]
    assert seen[-1] is not None
    assert seen[-1].named == "ranker"


def test_a_single_bad_judgement_pages_nobody() -> None:
    """A suspicion that is gone a second later leaves nothing behind."""
    assert _phases(_play(_judged("ranker"), _judged(None))) == [Phase.SUSPECTED, None]


def test_wavering_answers_are_not_said_aloud() -> None:
    """While judgements name different services the page stays without a name."""
    seen = _play(*[_judged(name) for name in ("a", "b", "a", "b", "a")])
    assert _phases(seen)[-1] == Phase.PAGED
    assert seen[-1] is not None
    assert seen[-1].named is None


def test_the_first_name_stays() -> None:
    """What was said at the page is not silently replaced by a later opinion."""
    seen = _play(*[_judged("a")] * 3, *[_judged("b")] * 5)
    assert seen[-1] is not None
    assert seen[-1].named == "a"
    assert seen[-1].diagnosis.suspects[0].service == "a"


def test_a_repair_does_not_blur_what_was_seen() -> None:
    """The judgement on the largest loss is kept; the weaker ones of the recovery are not."""
    scores = (5.0, 6.0, 7.0, 9.0, 4.0, 2.0)
    seen = _play(*[_judged("a", score=score) for score in scores])
    assert seen[-1] is not None
    assert seen[-1].diagnosis.suspects[0].score == 9.0


def test_a_thawed_instance_does_not_unsay_that_it_stood_still() -> None:
    """While a frozen copy catches up it looks like one that hangs; the freeze is what it was."""
    kinds = (Kind.HANG, Kind.HANG, Kind.HANG, Kind.FREEZE, Kind.HANG)
    seen = _play(*[_judged("a", kind=kind, score=5 + at) for at, kind in enumerate(kinds)])
    assert seen[-1] is not None
    assert seen[-1].diagnosis.suspects[0].kind is Kind.FREEZE


def test_harm_without_a_culprit_pages_without_a_name() -> None:
    """`no single service` wakes people up and accuses nobody."""
    seen = _play(*[_judged("a", Verdict.NO_SINGLE_SERVICE)] * 6)
    assert _phases(seen)[-1] == Phase.PAGED


def test_an_incident_closes_after_quiet_seconds() -> None:
    """Closing needs `close_after_s` of health in a row, and keeps the name."""
    seen = _play(*[_judged("a")] * 12, healthy_from=4)
    assert Phase.CLOSED in _phases(seen)
    closed = next(i for i in seen if i is not None and i.phase is Phase.CLOSED)
    assert closed.closed_ms is not None
    assert closed.healthy_since_ms == 104_000
    assert closed.closed_ms - closed.healthy_since_ms == 5000
    assert closed.named == "a"


def test_a_relapse_keeps_the_incident_open() -> None:
    """Health that does not last does not close."""
    incident = _play(*[_judged("a")] * 4)[-1]
    assert incident is not None
    calm = advance(
        incident, _judged("a"), is_healthy=True, now_ms=200_000, next_id=2, settings=_SETTINGS
    )
    relapsed = advance(
        calm, _judged("a"), is_healthy=False, now_ms=203_000, next_id=2, settings=_SETTINGS
    )
    again = advance(
        relapsed, _judged("a"), is_healthy=True, now_ms=206_000, next_id=2, settings=_SETTINGS
    )
    assert again is not None
    assert again.phase is Phase.NAMED
    assert again.healthy_since_ms == 206_000
