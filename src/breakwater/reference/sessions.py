"""Running streams: who watches what, how far, and how many at once.

All of it is soft state. A heartbeat recreates a session that its new owner has never seen, so a
lost instance costs the streams it kept at most one heartbeat, and their resume points one position.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from breakwater.model import Clock
from breakwater.reference.errors import FullError

STALE_AFTER_S: Final = 12.0
MAX_SESSIONS: Final = 20_000
MAX_ACCOUNTS: Final = 20_000
MAX_RESUME_POINTS: Final = 20


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One stream as its last report left it."""

    id: str
    account: str
    title: str
    device: str
    opened: int
    seen_s: float
    position_s: float = 0.0
    is_playing: bool = False


class SessionStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the book holds, and what it has seen since the process began."""

    sessions: int
    accounts: int
    opened: int
    stopped: int
    expired: int
    recreated: int


class SessionBook:
    """Sessions by id and by account, with resume points; every operation is O(streams of account).

    A session not heard of for `stale_after_s` is forgotten by `expire`, its resume point is kept.
    """

    def __init__(self, clock: Clock, *, stale_after_s: float = STALE_AFTER_S) -> None:
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._of_account: dict[str, set[str]] = {}
        self._resume: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._opened = self._stopped = self._expired = self._recreated = 0

    def open(self, session_id: str, *, account: str, title: str, device: str) -> Session:
        """Begin a stream; raises FullError at MAX_SESSIONS."""
        if len(self._sessions) >= MAX_SESSIONS:
            raise FullError(f"{MAX_SESSIONS} sessions are open here; no more are taken")
        self._opened += 1
        session = Session(
            id=session_id,
            account=account,
            title=title,
            device=device,
            opened=self._opened,
            seen_s=self._clock.monotonic_s(),
            position_s=self.resume_points(account).get(title, 0.0),
        )
        self._of_account.setdefault(account, set()).add(session_id)
        self._keep(session)
        return session

    def report(
        self, session_id: str, *, account: str, title: str, device: str, position_s: float
    ) -> Session:
        """Note that a stream is alive and how far it is; an unknown one is opened again."""
        session = self._sessions.get(session_id)
        if session is None:
            self._recreated += 1
            session = self.open(session_id, account=account, title=title, device=device)
        session = msgspec.structs.replace(
            session, seen_s=self._clock.monotonic_s(), position_s=position_s, is_playing=True
        )
        self._keep(session)
        return session

    def stop(self, session_id: str, *, position_s: float) -> bool:
        """End a stream and keep where its viewer left off; False when it is not open here."""
        session = self._sessions.get(session_id)
        if session is None:
            return False
        if session.is_playing:
            self._keep(msgspec.structs.replace(session, position_s=position_s))
        self._forget(session_id)
        self._stopped += 1
        return True

    def expire(self) -> int:
        """Forget the sessions nobody has heard of; the oldest report comes first in the table."""
        limit_s = self._clock.monotonic_s() - self._stale_after_s
        gone = 0
        while self._sessions and next(iter(self._sessions.values())).seen_s <= limit_s:
            self._forget(next(iter(self._sessions)))
            gone += 1
        self._expired += gone
        return gone

    def earlier_streams(self, account: str, session_id: str) -> int:
        """Live streams of the account that were opened before this session."""
        others = self._of_account.get(account, set()) - {session_id}
        own = self._sessions.get(session_id)
        if own is None:
            return len(others)
        return sum(self._sessions[other].opened < own.opened for other in others)

    def resume_points(self, account: str) -> dict[str, float]:
        """Seconds into each unfinished title, latest first."""
        return dict(reversed(self._resume.get(account, OrderedDict()).items()))

    def stats(self) -> SessionStats:
        """Sizes and counts since the process began."""
        return SessionStats(
            sessions=len(self._sessions),
            accounts=len(self._resume),
            opened=self._opened,
            stopped=self._stopped,
            expired=self._expired,
            recreated=self._recreated,
        )

    def _keep(self, session: Session) -> None:
        self._sessions[session.id] = session
        self._sessions.move_to_end(session.id)

    def _forget(self, session_id: str) -> None:
        session = self._sessions.pop(session_id)
        streams = self._of_account[session.account]
        streams.discard(session_id)
        if not streams:
            del self._of_account[session.account]
        if session.is_playing:
            self._keep_resume_point(session)

    def _keep_resume_point(self, session: Session) -> None:
        points = self._resume.setdefault(session.account, OrderedDict())
        points[session.title] = session.position_s
        points.move_to_end(session.title)
        if len(points) > MAX_RESUME_POINTS:
            points.popitem(last=False)
        self._resume.move_to_end(session.account)
        if len(self._resume) > MAX_ACCOUNTS:
            self._resume.popitem(last=False)
