"""What was heard of an instance: how it ages, and how much of it is kept."""

import pytest

from breakwater.model import CalleeReport, InstanceKey
from breakwater.registry.judging import evidence
from breakwater.registry.judging.evidence import Evidence, Probed, Record, Told
from breakwater.registry.judging.verdicts import Finding


def told(caller: str = "g-1", at_s: float = 100.0, window_s: float = 1.0, **counts: int) -> Told:
    """What a caller told of the instance."""
    calls, failures = counts.get("calls", 0), counts.get("failures", 0)
    report = CalleeReport(
        service="ranker",
        instance_id="r-1",
        calls=calls,
        failures=failures,
        refused=counts.get("refused", 0),
    )
    key = InstanceKey(service="gateway", instance_id=caller)
    return Told(caller=key, at_s=at_s, at_ms=0, window_s=window_s, report=report)


def probed(finding: Finding, at_s: float) -> Probed:
    """A probe."""
    return Probed(at_s=at_s, at_ms=0, finding=finding, took_ms=1.0)


@pytest.fixture
def kept() -> Evidence:
    """Evidence on one instance."""
    kept = Evidence()
    kept.begin("RANKER", "r-1")
    return kept


def test_the_latest_report_of_a_caller_counts(kept: Evidence) -> None:
    """A caller's newer report replaces its older one; others stand beside it."""
    record = kept.take(told(calls=5, failures=5, refused=5))
    assert record is not None
    kept.take(told("g-2", calls=5, failures=5, refused=5))
    assert record.refused(now_s=101, renewed_s=90) == 2
    kept.take(told(calls=5))
    assert record.refused(now_s=101, renewed_s=90) == 1
    assert record.succeeded(now_s=101) == 1
    assert (kept.callers, kept.reports) == (2, 3)


def test_a_mixed_report_proves_nothing_gone(kept: Evidence) -> None:
    """Who got through at all was not refused by a dead instance."""
    record = kept.take(told(calls=5, failures=3, refused=3))
    assert record is not None
    assert record.refused(now_s=101, renewed_s=90) == 0
    assert record.succeeded(now_s=101) == 1


def test_refusals_count_from_the_last_renewal_on(kept: Evidence) -> None:
    """What was refused before it renewed, or may have been, says nothing of now."""
    record = kept.take(told(at_s=100, window_s=5, calls=1, failures=1, refused=1))
    assert record is not None
    assert record.refused(now_s=101, renewed_s=95) == 1
    assert record.refused(now_s=101, renewed_s=95.1) == 0


def test_success_before_a_refused_probe_is_past(kept: Evidence) -> None:
    """A refused probe outweighs calls that went well before it, not those after."""
    record = kept.take(told(at_s=100, window_s=5, calls=1))
    assert record is not None
    record.note_probe(probed(Finding.REFUSED, 97))
    assert record.succeeded(now_s=101) == 0
    kept.take(told(at_s=103, window_s=5, calls=1))
    assert record.succeeded(now_s=103) == 1


def test_reports_age(kept: Evidence) -> None:
    """After half a minute a report counts no more, and is forgotten when another comes."""
    record = kept.take(told(at_s=100, calls=1))
    assert record is not None
    assert record.succeeded(now_s=129) == 1
    assert record.succeeded(now_s=130) == 0
    kept.take(told("g-2", at_s=131, calls=1))
    assert [key.instance_id for key in record.callers] == ["g-2"]
    assert kept.callers == 1


def test_how_much_is_kept(kept: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many callers of one instance, so many of all; the aged make room for the new."""
    record = kept.begin("RANKER", "r-1")
    for number in range(evidence.CALLERS_EACH + 5):
        kept.take(told(f"g-{number}", calls=1))
    assert len(record.callers) == kept.callers == evidence.CALLERS_EACH
    for number in range(evidence.PROBES_EACH + 5):
        record.note_probe(probed(Finding.ACCEPTS, number))
    assert len(record.probes) == evidence.PROBES_EACH
    monkeypatch.setattr(evidence, "CALLERS_IN_ALL", evidence.CALLERS_EACH)
    assert kept.take(told("other", calls=1)) is None
    assert kept.dropped == 1
    kept.begin("RANKER", "r-2")
    assert kept.take(told("other", at_s=140, calls=1)) is record
    assert kept.callers == 1


def test_who_is_not_registered_has_no_evidence(kept: Evidence) -> None:
    """Reports on strangers are counted and not kept; an end forgets what was heard."""
    kept.take(told(calls=1))
    kept.forget("RANKER", "r-1")
    assert kept.take(told(calls=1)) is None
    assert (kept.unknown, kept.callers, kept.of("RANKER", "r-1")) == (1, 0, None)


def test_a_new_registration_is_another_life(kept: Evidence) -> None:
    """Probes of the life before do not count; what callers told stays, for it ages by itself."""
    record = kept.take(told(calls=1))
    assert record is not None
    record.note_probe(probed(Finding.REFUSED, 100))
    again = kept.begin("RANKER", "r-1")
    assert (len(again.probes), len(again.callers), kept.callers) == (0, 1, 1)


def test_only_what_a_probe_found_after_the_renewal_counts() -> None:
    """A renewal is newer than what a probe found before it."""
    record = Record()
    assert record.finding(renewed_s=0) is None
    record.note_probe(probed(Finding.ACCEPTS, 10))
    record.note_probe(probed(Finding.REFUSED, 20))
    assert record.finding(renewed_s=19.9) is Finding.REFUSED
    assert record.finding(renewed_s=20) is None
    assert (record.was_found, record.is_contradicted) == (True, False)


def test_a_renewal_after_a_refusal_refutes_refusals() -> None:
    """Until a probe gets through again, refusals from here prove nothing."""
    record = Record()
    record.note_probe(probed(Finding.REFUSED, 20))
    record.note_renewal(5.0, is_late=False)
    record.note_renewal(9.0, is_late=True)
    assert record.is_contradicted
    assert (record.renewals, record.late_renewals, record.longest_gap_s) == (2, 1, 9.0)
    record.note_probe(probed(Finding.UNREACHABLE, 30))
    assert record.is_contradicted
    record.note_probe(probed(Finding.SILENT, 31))
    assert not record.is_contradicted


def test_a_renewal_after_a_silent_health_check_refutes_that_alone() -> None:
    """Refusals are proof all the same, and an answer takes it back."""
    record = Record()
    record.note_probe(probed(Finding.SILENT, 20))
    record.note_renewal(5.0, is_late=False)
    record.note_probe(probed(Finding.REFUSED, 40))
    assert record.contradicted is Finding.SILENT
    record.note_probe(probed(Finding.ANSWERS, 50))
    assert not record.is_contradicted
