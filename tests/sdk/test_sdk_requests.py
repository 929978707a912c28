"""requests under guard, the real library against a server on a real socket."""

import gc
import shutil
from io import BytesIO
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter
from tests.sdk.fleet import MeterListener
from tests.sdk.streaming import QUICK, Streamer, in_flight, rule
from urllib3 import Timeout

from breakwater.model import FaultKind, Instance
from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CallRefusedError,
    CommandConfig,
    Service,
    deadline,
)
from breakwater.sdk.dispatch import sweep
from breakwater.sdk.requests import PastDeadlineError, RefusedError, guarded_adapter


def session(caller: Service, **options: Any) -> requests.Session:
    """A user's session with a guarded adapter."""
    config = CommandConfig(**options.pop("parts", {}))
    made = requests.Session()
    made.trust_env = False
    made.mount("http://", guarded_adapter(caller, peer="account", config=config, **options))
    return made


def test_the_callee_is_told_and_the_call_recorded(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The user's session stays as it is; identity, deadline and trace go along."""
    with session(caller) as user, deadline(5.0):
        reply = user.get(f"{streamer.url}/v1/profiles/7", headers={"x-mine": "1"})
    assert (reply.status_code, reply.text) == (200, "yes")
    assert "breakwater-caller" not in (reply.request.headers or {})
    _, headers = streamer.seen[0]
    assert (headers["breakwater-caller"], headers["x-mine"]) == ("gateway", "1")
    assert 0 < float(headers["breakwater-deadline-ms"]) <= 5000.0
    line = meters.wait_for("T:ipc.client.call")
    for tag in ("ipc.server.app=account", "ipc.endpoint=v1.profiles.~", "ipc.status=success"):
        assert tag in line


def test_a_bad_answer_counts_and_is_given_to_the_caller(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """503 is no exception, but it opens the circuit; the refusal is an error of requests."""
    with session(caller, parts={"breaker": BreakerConfig(minimum_calls=2)}) as user:
        assert [user.get(f"{streamer.url}/fail").text for _ in range(2)] == ["no", "no"]
        with pytest.raises(requests.ConnectionError) as refused:
            user.get(f"{streamer.url}/fail")
    assert isinstance(refused.value, CallRefusedError)
    assert refused.value.reason == "breaker_open"
    assert refused.value.request is not None
    assert refused.value.request.url == f"{streamer.url}/fail"
    assert refused.value.response is None
    assert "its circuit is open" in str(refused.value)
    meters.wait_for("ipc.status=short_circuited")


def test_a_retry_takes_the_place_of_a_bad_answer(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """For methods that may be repeated, one record an attempt."""
    with session(caller, parts={"retry": QUICK}) as user:
        assert user.get(f"{streamer.url}/flaky").status_code == 200
        streamer.flaky_left = 1
        assert user.post(f"{streamer.url}/flaky", data=b"x").status_code == 503
    assert "final=false" in meters.wait_for("ipc.attempt=initial", "ipc.status=unavailable")
    assert "final=true" in meters.wait_for("ipc.attempt=second", "ipc.status=success")


def test_a_fallback_gives_a_response(caller: Service, streamer: Streamer) -> None:
    """It may be made by hand or asked elsewhere."""

    def guest(_error: Exception) -> requests.Response:
        made = requests.Response()
        made.status_code = 200
        made.raw = BytesIO(b"guest")
        return made

    with session(caller, fallback=guest) as user:
        assert user.get(f"{streamer.url}/fail").text == "guest"


def test_time_limits_are_handed_to_the_library(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The attempt ends at the guard's limit by a timeout of requests itself."""
    with session(caller, parts={"timeout_s": 0.05}) as user, pytest.raises(requests.ReadTimeout):
        user.get(f"{streamer.url}/slow", timeout=60)
    meters.wait_for("ipc.status=timeout", "ipc.status.detail=attempt_timeout")


def test_a_body_that_stalls_ends_within_the_attempt(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The body belongs to the attempt, unless it is streamed."""
    with (
        session(caller, parts={"timeout_s": 0.1}) as user,
        pytest.raises(requests.ConnectionError, match="timed out"),
    ):
        user.get(f"{streamer.url}/drip")
    meters.wait_for("ipc.endpoint=drip", "ipc.status=timeout")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/trickle", "/trickle-head"])
@pytest.mark.parametrize("limit", ["attempt", "deadline"])
def test_a_server_that_drips_does_not_outlive_its_limit(
    caller: Service, streamer: Streamer, path: str, limit: str
) -> None:
    """Each read gets what is left, not the same time again."""
    parts = {"timeout_s": 0.1 if limit == "attempt" else 5.0}
    with session(caller, parts=parts) as user, deadline(5.0 if limit == "attempt" else 0.1):
        with pytest.raises(requests.RequestException, match=r"timed out|no time is left"):
            user.get(f"{streamer.url}{path}", timeout=60)
        assert not streamer.go_on.is_set()  # it would have gone on for ever
        assert in_flight(caller) == 0


@pytest.mark.slow
def test_a_dripping_stream_is_read_until_the_deadline(caller: Service, streamer: Streamer) -> None:
    """What came before it is the user's."""
    got: list[bytes] = []
    with session(caller) as user, deadline(0.2):
        reply = user.get(f"{streamer.url}/trickle", stream=True)
        with pytest.raises(requests.RequestException):
            got.extend(reply.iter_content(1))
    assert b"".join(got).startswith(b"xx")
    assert in_flight(caller) == 0


@pytest.mark.slow
def test_connections_are_used_again_under_limits(caller: Service, streamer: Streamer) -> None:
    """How long one attempt had says nothing of the next on the same connection."""
    with session(caller, parts={"timeout_s": 5.0}) as user:
        with deadline(0.2):
            assert user.get(f"{streamer.url}/ok").text == "yes"
        assert user.get(f"{streamer.url}/ok").text == "yes"
        (pool,) = user.get_adapter("http://")._inner.poolmanager.pools._container.values()  # type: ignore[attr-defined] # of the adapter within
        assert (pool.num_connections, pool.num_requests) == (1, 2)


def test_a_near_deadline_is_not_held_against_the_callee(
    caller: Service, streamer: Streamer
) -> None:
    """An attempt cut short says nothing, and after the deadline nothing is sent."""
    parts = {"timeout_s": 5.0, "breaker": BreakerConfig(minimum_calls=1)}
    with session(caller, parts=parts) as user, deadline(0.05):
        with pytest.raises(requests.Timeout):
            user.get(f"{streamer.url}/slow")
        with pytest.raises(PastDeadlineError) as late:
            user.get(f"{streamer.url}/slow")
    assert isinstance(late.value, requests.Timeout)
    assert len(streamer.seen) == 1


def test_a_streamed_body_holds_its_permit(caller: Service, streamer: Streamer) -> None:
    """Until it is read, by whatever means, or closed."""
    parts = {"bulkhead": BulkheadConfig(max_concurrent=1)}
    with session(caller, parts=parts) as user:
        reply = user.get(f"{streamer.url}/drip", stream=True)
        assert in_flight(caller) == 1
        with pytest.raises(RefusedError):
            user.get(f"{streamer.url}/ok")
        streamer.go_on.set()
        assert b"".join(reply.iter_content(2)) == b"onetwo"
        assert in_flight(caller) == 0
        reply, copy = user.get(f"{streamer.url}/ok", stream=True), BytesIO()
        shutil.copyfileobj(reply.raw, copy)
        assert (copy.getvalue(), in_flight(caller)) == (b"yes", 0)
        with user.get(f"{streamer.url}/ok", stream=True):
            assert in_flight(caller) == 1
        assert in_flight(caller) == 0


def test_a_streamed_body_that_breaks_off_is_a_failure(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """It was answered 200, and is no success."""
    with session(caller, parts={"retry": QUICK}) as user:
        reply = user.get(f"{streamer.url}/break", stream=True)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = reply.content
    meters.wait_for("ipc.endpoint=break", "ipc.status=connection_error")
    assert in_flight(caller) == 0


def test_a_response_that_is_dropped_gives_its_permit_back(
    caller: Service, streamer: Streamer
) -> None:
    """A user who forgets to close leaks no permit."""
    with session(caller) as user:
        reply = user.get(f"{streamer.url}/drip", stream=True)
        connection = reply.raw.connection
        assert in_flight(caller) == 1
        del reply
        gc.collect()
        sweep()
        assert in_flight(caller) == 0
        assert connection is not None
        connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_an_adapter_of_the_users_own_may_answer_from_a_file(
    caller: Service, *, stream: bool
) -> None:
    """What requests can read, it can read under guard."""

    class Own(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **given: Any) -> Any:
            made = requests.Response()
            made.status_code, made.raw, made.request = 200, BytesIO(b"own"), request
            return made

        def close(self) -> None:
            """Nothing is open."""

    with session(caller, inner=Own()) as user:
        assert user.get("http://account.test/", stream=stream).content == b"own"
    assert in_flight(caller) == 0


def test_a_service_name_leads_to_an_instance(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The registry knows where; an instance that refuses is passed over by the retry."""
    places = [("gone", 9), ("there", streamer.port)]
    instances = [
        Instance(service="account", instance_id=name, host="127.0.0.1", port=port)
        for name, port in places
    ]
    caller.runtime.resolver.pin("account", instances)
    with session(caller, parts={"retry": QUICK}) as user:
        assert [user.get("http://account/ok").text for _ in range(2)] == ["yes", "yes"]
    assert streamer.seen[0][1]["host"] == "account"
    meters.wait_for("ipc.server.node=there", "ipc.status=success")
    line = meters.wait_for("ipc.server.node=gone", "ipc.status=connection_error")
    assert "ipc.status.detail=refused" in line


def test_injected_faults_look_like_real_ones(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """An error is an answer, a hang a timeout of the library; nothing is sent."""
    caller.runtime.faults.accept(rule(FaultKind.ERROR, status=503))
    with session(caller) as user:
        reply = user.get(f"{streamer.url}/ok")
        assert (reply.status_code, reply.json()["message"]) == (503, "injected fault")
        caller.runtime.faults.accept(rule(FaultKind.HANG))
        with pytest.raises(requests.ReadTimeout):
            user.get(f"{streamer.url}/ok", timeout=0.02)
    assert not streamer.seen
    assert "ipc.failure.injected=true" in meters.wait_for("ipc.status=unavailable")


def test_a_timeout_in_the_words_of_urllib3_is_taken(caller: Service, streamer: Streamer) -> None:
    """With a total alone, which says nothing of the single steps."""
    with session(caller) as user:
        assert user.get(f"{streamer.url}/v1", timeout=Timeout(total=60)).status_code == 200  # type: ignore[arg-type] # stubs lack Timeout
        with pytest.raises(requests.Timeout):
            user.get(f"{streamer.url}/slow", timeout=Timeout(total=0.05))  # type: ignore[arg-type] # as above
