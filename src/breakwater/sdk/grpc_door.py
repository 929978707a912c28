"""The door of a gRPC server, sync or asyncio: how many calls are at work, and whose first.

A call that is refused ends with `UNAVAILABLE`, which is what 503 is over HTTP: the same status in
the records, sent again by the retry policies of gRPC and by our own clients, and for a proxy in
between a reason to try another instance. `RESOURCE_EXHAUSTED` would blame the caller's quota.
"""

from math import ceil

from breakwater.model import Status
from breakwater.sdk.admission import seated, seated_sync, with_shedding
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.errors import CallFailedError, CallRefusedError, SettingsError
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.limiting.shedding import Waiting
from breakwater.sdk.guard.verdict import Verdict
from breakwater.sdk.reception import Reception, Visit
from breakwater.sdk.runtime import Runtime

_ANSWERS = frozenset({Status.SUCCESS, Status.BAD_REQUEST, Status.ACCESS_DENIED})


class GrpcDoor:
    """What all calls to one gRPC server have in common.

    shedding: how much work is taken on, and whose first. max_concurrent: a fixed limit without a
    queue; give one of the two, or none for no limit until a live setting says one. Raises
    SettingsError.
    """

    def __init__(
        self, runtime: Runtime, *, shedding: SheddingConfig | None, max_concurrent: int | None
    ) -> None:
        if max_concurrent is not None:
            if shedding is not None:
                raise SettingsError(
                    "give server_interceptor either max_concurrent or shedding, not both"
                )
            shedding = SheddingConfig(limit=max_concurrent, queue=0)
        self.runtime = runtime
        self.now_s = runtime.clock.monotonic_s
        self.reception = Reception(runtime)
        self.shedder = runtime.guards.shedder("grpc", shedding, random=runtime.random)

    def stats(self) -> ServerStats:
        """Counts since start."""
        return with_shedding(self.reception.stats(), self.shedder, self.now_s())


class Place:
    """The place of one call among those at work; `leave` it once, whether it was got or not.

    is_stream: its length is no latency, and teaches the limit nothing.
    """

    __slots__ = ("_began_s", "_door", "_seat", "is_stream")

    def __init__(self, door: GrpcDoor, *, is_stream: bool) -> None:
        self._door = door
        self._seat: Ticket | None = None
        self._began_s = 0.0
        self.is_stream = is_stream

    async def take(self, visit: Visit, endpoint: str) -> None:
        """Wait for leave to begin; raises CallRefusedError."""
        found = self._enter(visit, endpoint)
        self._begin(await seated(found, self._door.now_s) if isinstance(found, Waiting) else found)

    def take_sync(self, visit: Visit, endpoint: str) -> None:
        """As `take`, on this thread."""
        found = self._enter(visit, endpoint)
        self._begin(seated_sync(found, self._door.now_s) if isinstance(found, Waiting) else found)

    def _enter(self, visit: Visit, endpoint: str) -> Ticket | Waiting | None:
        door = self._door
        service = door.runtime.settings.service
        door.runtime.drain.let_in(service)
        if not door.shedder.config.enabled:
            return None
        call = CallInfo(command=service, context=visit.context, endpoint=endpoint)
        return door.shedder.enter(call, door.now_s())

    def _begin(self, seat: Ticket | None) -> None:
        self._seat = seat
        self._began_s = self._door.now_s()

    def leave(self, status: Status, *, has_left: bool) -> None:
        """The call is over: give its place to the next. has_left: its caller did not wait."""
        seat, self._seat = self._seat, None
        if seat is None:
            return
        now_s = self._door.now_s()
        verdict, error = self._verdict(status, has_left=has_left)
        self._door.shedder.leave(
            seat, verdict, now_s=now_s, took_s=now_s - self._began_s, error=error
        )

    def _verdict(self, status: Status, *, has_left: bool) -> tuple[Verdict, Exception | None]:
        """What it says of this server's own room."""
        if has_left or status is Status.CANCELLED:
            return Verdict.CANCELLED, None
        if status in _ANSWERS:
            return (Verdict.CANCELLED if self.is_stream else Verdict.SUCCESS), None
        return Verdict.FAILURE, CallFailedError(status, service="")


def push_back(refusal: CallRefusedError) -> tuple[tuple[str, str], ...]:
    """The trailing metadata that say when to come again."""
    if refusal.retry_after_s is None:
        return ()
    return (("grpc-retry-pushback-ms", str(ceil(refusal.retry_after_s * 1000.0))),)
