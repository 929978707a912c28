"""Meters as the platform hears them, on a real socket."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.fleet import MeterListener

from breakwater.model import validate_tags
from breakwater.sdk import Service
from breakwater.sdk.lines import DATAGRAM_BYTES, LineSender
from breakwater.sdk.meters import Meters
from breakwater.sdk.settings import Address
from breakwater.testing import FakeClock

COMMON = {"nf.app": "cdn", "nf.node": "cdn-a-1", "nf.zone": "a"}


class Sink(LineSender):
    """Keeps lines instead of sending them."""

    def __init__(self) -> None:
        super().__init__(None)
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)


@pytest.fixture
def sink() -> Sink:
    """Where the meters of a test write."""
    return Sink()


@pytest.fixture
def made(sink: Sink, clock: FakeClock) -> Meters:
    """Meters with the common tags of one process."""
    return Meters(sink, COMMON, clock)


def test_each_kind_of_meter_writes_its_line_type(made: Meters, sink: Sink) -> None:
    """The line type tells the platform how to aggregate."""
    made.counter("plays", {"result": "ok"}).increment()
    made.gauge("level", {}).set(-2.5)
    made.gauge("level", {}, ttl_s=1).set(3)
    made.max_gauge("peak", {}).set(7)
    made.timer("wait", {}).record(0.25)
    made.timer("wait", {}, percentiles=True).record(0.25)
    made.distribution("size", {}).record(10)
    made.distribution("size", {}, percentiles=True).record(10)
    tags = ",nf.app=cdn,nf.node=cdn-a-1,nf.zone=a"
    assert sink.lines == [
        f"c:plays{tags},result=ok:1\n",
        f"g:level{tags}:-2.5\n",
        f"g,5:level{tags}:3\n",
        f"m:peak{tags}:7\n",
        f"t:wait{tags}:0.25\n",
        f"T:wait{tags}:0.25\n",
        f"d:size{tags}:10\n",
        f"D:size{tags}:10\n",
    ]


def test_a_timed_block_is_recorded_even_if_it_fails(
    made: Meters, sink: Sink, clock: FakeClock
) -> None:
    """A failing block took its time too."""

    def fail_slowly() -> None:
        with made.timer("wait", {}).time():
            clock.advance(1.5)
            raise KeyError

    with pytest.raises(KeyError):
        fail_slowly()
    assert sink.lines[0].endswith(":1.5\n")


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_amounts_are_counted_not_sent(made: Meters, sink: Sink, value: float) -> None:
    """Nonsense must not reach the platform, nor raise in the service."""
    made.counter("plays", {}).increment(value)
    made.timer("wait", {}).record(value)
    made.distribution("size", {}).record(value)
    assert sink.lines == []
    assert made.stats().ignored_values == 3


def test_the_same_name_and_tags_give_the_same_meter(made: Meters) -> None:
    """Asking in a hot path does not build a prefix each time."""
    first = made.counter("plays", {"title": "a", "cell": "b"})
    assert made.counter("plays", {"cell": "b", "title": "a"}) is first


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=200), max_size=30), st.text())
def test_whatever_the_tags_the_line_names_a_legal_series(tags: dict[str, str], name: str) -> None:
    """Bad tags are mended or left out, never sent: one bad tag would cost the whole line."""
    sink = Sink()
    Meters(sink, COMMON, FakeClock()).counter(f"n.{name}", tags).increment()
    (line,) = sink.lines
    kind, identity, value = line.strip().split(":")
    wire_name, *pairs = identity.split(",")
    series = {"name": wire_name, **dict(pair.split("=") for pair in pairs)}
    validate_tags(series)
    assert (kind, value) == ("c", "1")
    assert COMMON.items() <= series.items()


def test_left_out_tags_are_counted(made: Meters) -> None:
    """A tag that was mended shows in the stats."""
    made.counter("plays", {"title": "a b", "k": "too short a key", "empty": ""})
    assert made.stats().mended_tags == 3


@pytest.fixture
def sender(meters: MeterListener) -> Iterator[LineSender]:
    """A sender to the listener."""
    made = LineSender(Address(host="127.0.0.1", port=int(meters.url.rpartition(":")[2])))
    yield made
    made.close()


def test_lines_travel_in_full_datagrams(sender: LineSender, meters: MeterListener) -> None:
    """Many lines share a datagram, none is split, none is larger than a frame."""
    lines = [f"c:plays,number={n:05}:1" for n in range(500)]
    for line in lines:
        sender.write(f"{line}\n")
    sender.flush()
    meters.wait_for(lines[-1])
    assert meters.lines == lines
    assert max(map(len, meters.datagrams)) <= DATAGRAM_BYTES
    assert len(meters.datagrams) < 20
    assert sender.stats().sent_lines == 500


def test_lines_of_many_threads_all_arrive(sender: LineSender, meters: MeterListener) -> None:
    """No line is lost or torn when threads write together."""

    def write(worker: int) -> None:
        for n in range(200):
            sender.write(f"c:plays,worker={worker},number={n}:1\n")

    threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sender.write("c:end:1\n")
    sender.flush()
    meters.wait_for("c:end")
    assert len(set(meters.lines)) == 801


def test_what_cannot_be_sent_is_dropped_and_counted() -> None:
    """A sender with nowhere to send to costs lines, not the service."""
    nowhere = LineSender(Address(host="127.0.0.1", port=1))
    nowhere._opened(may_wait=False)
    broken = nowhere._socket
    assert broken is not None
    broken.close()
    nowhere.write("c:plays:1\n")
    nowhere.flush()
    assert nowhere.stats().dropped_lines == 1
    off = LineSender(None)
    off.write("c:plays:1\n")
    off.close()
    assert off.stats().dropped_lines == 1


def test_a_line_never_waits_for_a_name(
    meters: MeterListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host name is looked up by the agent's flush, never by whoever writes a line."""
    looked_up: list[str] = []
    look_up = socket.getaddrinfo

    def slow_look_up(host: str, port: int, **options: int) -> object:
        if not options.get("flags", 0) & socket.AI_NUMERICHOST:
            looked_up.append(host)
        return look_up(host, port, family=socket.AF_INET, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    sender = LineSender(Address(host="localhost", port=int(meters.url.rpartition(":")[2])))
    for _ in range(DATAGRAM_BYTES):
        sender.write("c:early:1\n")
    assert looked_up == []
    assert sender.stats().dropped_lines > 0
    sender.write("c:late:1\n")
    sender.flush()
    assert looked_up == ["localhost"]
    meters.wait_for("c:late")
    sender.close()


def test_nobody_listening_does_not_hurt(meters: MeterListener) -> None:
    """UDP to a port where nobody listens goes on being sent, and works when somebody comes."""
    free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    sender = LineSender(Address(host="127.0.0.1", port=port))
    for _ in range(10):
        sender.write("c:plays:1\n")
        sender.flush()
    assert sender.stats().dropped_lines == 0
    sender.close()


def test_a_service_reports_its_process(
    service_of: Callable[..., Service], meters: MeterListener
) -> None:
    """Alive, CPU, memory and lateness are written without being asked for."""
    with service_of("cdn"):
        assert meters.wait_for("c:process.alive,nf.app=cdn,nf.node=cdn-1,nf.zone=a:1")
        meters.wait_for("process.memory.rss")
        meters.wait_for("process.cpu.utilization")
        meters.wait_for("m:process.loop.lag")


def test_stopping_sends_what_waits(
    service_of: Callable[..., Service], meters: MeterListener
) -> None:
    """The last lines of a process are not lost in its buffer."""
    service = service_of("cdn")
    service.start()
    service.counter("last.words").increment(3)
    service.stop()
    assert meters.wait_for("c:last.words").endswith(":3")
