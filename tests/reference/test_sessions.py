"""The book of running streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference import sessions
from breakwater.reference.errors import FullError
from breakwater.reference.sessions import MAX_RESUME_POINTS, STALE_AFTER_S, SessionBook
from breakwater.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def book(clock: FakeClock) -> SessionBook:
    """An empty book."""
    return SessionBook(clock)


def _report(book: SessionBook, session: str, position_s: float, account: str = "a1") -> None:
    book.report(session, account=account, title="t1", device="tv", position_s=position_s)


def test_streams_are_counted_in_the_order_they_were_opened(book: SessionBook) -> None:
    """A session counts the ones before it, not those after, nor another account's."""
    for session in ("s1", "s2", "s3"):
        book.open(session, account="a1", title="t1", device="tv")
    book.open("s4", account="a2", title="t1", device="tv")
    assert [book.earlier_streams("a1", s) for s in ("s1", "s2", "s3")] == [0, 1, 2]
    assert book.earlier_streams("a2", "s4") == 0
    assert book.earlier_streams("a1", "elsewhere") == 3


def test_stopping_frees_the_stream_and_keeps_the_place(book: SessionBook) -> None:
    """After a stop the stream no longer counts, and the next start resumes."""
    book.open("s1", account="a1", title="t1", device="tv")
    _report(book, "s1", 120.0)
    assert book.stop("s1", position_s=130.0)
    assert book.resume_points("a1") == {"t1": 130.0}
    assert book.earlier_streams("a1", "s2") == 0
    assert book.open("s2", account="a1", title="t1", device="tv").position_s == 130.0


def test_a_stream_that_never_played_leaves_no_resume_point(book: SessionBook) -> None:
    """A start that failed is not something to go on with."""
    book.open("s1", account="a1", title="t1", device="tv")
    book.stop("s1", position_s=0.0)
    assert book.resume_points("a1") == {}


def test_stopping_twice_says_so(book: SessionBook) -> None:
    """Only the first stop finds the session."""
    book.open("s1", account="a1", title="t1", device="tv")
    assert book.stop("s1", position_s=0.0)
    assert not book.stop("s1", position_s=0.0)


def test_a_silent_session_expires_and_a_reporting_one_does_not(
    book: SessionBook, clock: FakeClock
) -> None:
    """Staleness is counted from the last report, and the resume point stays."""
    for session in ("s1", "s2"):
        book.open(session, account="a1", title="t1", device="tv")
        _report(book, session, 10.0)
    clock.advance(STALE_AFTER_S - 1)
    _report(book, "s2", 20.0)
    clock.advance(1)
    assert book.expire() == 1
    assert book.earlier_streams("a1", "none") == 1
    assert book.resume_points("a1") == {"t1": 10.0}
    assert book.stats().expired == 1


def test_a_heartbeat_recreates_a_session_nobody_here_has_seen(book: SessionBook) -> None:
    """After an instance was lost, the next report is enough to count the stream again."""
    _report(book, "s9", 55.0)
    assert book.earlier_streams("a1", "none") == 1
    assert book.stats().recreated == 1


def test_the_book_is_bounded(book: SessionBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full book refuses new sessions and keeps the old."""
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    for session in ("s1", "s2"):
        book.open(session, account="a1", title="t1", device="tv")
    with pytest.raises(FullError, match="2 sessions"):
        book.open("s3", account="a1", title="t1", device="tv")
    assert book.stats().sessions == 2


def test_resume_points_are_bounded_and_latest_first(book: SessionBook) -> None:
    """Only the last titles are kept, the most recent at the front."""
    for number in range(MAX_RESUME_POINTS + 5):
        session, title = f"s{number}", f"t{number}"
        book.report(session, account="a1", title=title, device="tv", position_s=1.0)
        book.stop(session, position_s=1.0)
    points = list(book.resume_points("a1"))
    assert len(points) == MAX_RESUME_POINTS
    assert points[0] == f"t{MAX_RESUME_POINTS + 4}"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "report", "stop", "wait", "expire"]),
            st.integers(0, 5),
            st.sampled_from(["a1", "a2"]),
        ),
        max_size=60,
    )
)
def test_the_tables_agree_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    """After any sequence, sessions by account are exactly the sessions by id."""
    clock = FakeClock()
    book = SessionBook(clock)
    for verb, number, account in steps:
        session = f"{account}-s{number}"
        if verb == "open" and session not in book._sessions:
            book.open(session, account=account, title="t1", device="tv")
        elif verb == "report":
            _report(book, session, float(number), account)
        elif verb == "stop":
            book.stop(session, position_s=1.0)
        elif verb == "wait":
            clock.advance(STALE_AFTER_S / 3)
        else:
            book.expire()
    listed = {session for streams in book._of_account.values() for session in streams}
    assert listed == set(book._sessions)
    assert all(streams for streams in book._of_account.values())
    stats = book.stats()
    assert stats.opened == stats.sessions + stats.stopped + stats.expired
