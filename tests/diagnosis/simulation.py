"""A small request-by-request model of a fleet: the telemetry a diagnosis reads, with a known truth.

Every request walks the call tree once; times are drawn, not measured, so a run is a pure function
of its seed. Both ends of every edge write down what they would see, as the SDK does.
"""

from dataclasses import dataclass, field

import numpy as np

from breakwater.model import Status
from breakwater.topology import STATUSES, CallWindow, Edge, InstanceKey, Route

TREE = {
    "home": {
        "gateway": ["account", "session", "personalization"],
        "personalization": ["features", "ranker"],
    },
    "play": {
        "gateway": ["account", "playback"],
        "playback": ["manifest", "licence", "steering", "session"],
    },
}
FALLBACKS = {
    ("gateway", "personalization"),
    ("personalization", "ranker"),
    ("playback", "steering"),
}
OWN_MS = {"gateway": 4, "personalization": 3, "playback": 3}
TIMEOUT_S = {"player": 5.0, "gateway": 1.0, "personalization": 0.5, "playback": 0.6}


@dataclass(frozen=True)
class Fault:
    """What is broken from step `start` on."""

    kind: str
    service: str
    start: int
    zone: str | None = None
    caller: str | None = None
    delay_s: float = 0.25
    percent: float = 0.5


@dataclass
class Recorder:
    """Collects both sides of every call into arrays."""

    steps: int
    rows: dict[tuple[str, str, str, str], np.ndarray] = field(default_factory=dict)

    def add(
        self, side: str, edge: Edge, node: str, status: Status, step: int, seconds: float
    ) -> None:
        """One call by one side; row 0 counts by status, the last row sums seconds."""
        key = (side, edge.caller, edge.callee, node)
        table = self.rows.setdefault(key, np.zeros((len(STATUSES) + 1, self.steps)))
        table[STATUSES.index(status), min(step, self.steps - 1)] += 1
        table[-1, min(step, self.steps - 1)] += seconds


class Fleet:
    """Draws requests and answers them; two zones, one instance of every service in each."""

    def __init__(self, seed: int, steps: int, fault: Fault | None) -> None:
        self.rng = np.random.default_rng(seed)
        self.fault = fault
        self.recorder = Recorder(steps)
        self.starts = np.zeros(steps)
        self.failed_starts = np.zeros(steps)
        self.slow = 1.0
        self.routes = {kind: np.zeros((2, steps)) for kind in TREE}

    def request(self, kind: str, step: int) -> None:
        """One request of a user, in a random zone."""
        zone = "ab"[int(self.rng.integers(2))]
        ok, waited = self.call(kind, "player", "gateway", zone, step, 5.0)
        self.routes[kind][:, step] += (1.0, waited)
        if kind == "play":
            (self.starts if ok else self.failed_starts)[step] += 1

    def call(
        self, kind: str, caller: str, callee: str, zone: str, step: int, budget: float
    ) -> tuple[bool, float]:
        """One call with its subtree; returns (usable answer, seconds the caller waited)."""
        edge = Edge(caller, callee)
        timeout = min(TIMEOUT_S.get(caller, 0.5), budget)
        node = f"{callee}-{zone}-1"
        hit = self._hit(callee, caller, zone, step)
        wire = 0.0005 + (hit.delay_s if hit and hit.kind == "slow_edge" else 0.0)
        if hit and hit.kind == "crash":
            return self._finish(edge, node, Status.CONNECTION_ERROR, step, 0.001)
        if hit and hit.kind == "freeze":
            return self._finish(edge, node, Status.TIMEOUT, step, timeout)
        if hit and hit.kind == "hang" and self.rng.random() < hit.percent:
            self.recorder.add("server", edge, node, Status.CANCELLED, step, timeout)
            return self._finish(edge, node, Status.TIMEOUT, step, timeout)
        spent, ok = self._serve(kind, callee, zone, step, timeout - wire, hit)
        if wire + spent >= timeout:
            self.recorder.add("server", edge, node, Status.CANCELLED, step, timeout)
            return self._finish(edge, node, Status.TIMEOUT, step, timeout)
        status = Status.SUCCESS if ok else Status.UNEXPECTED_ERROR
        self.recorder.add("server", edge, node, status, step, spent)
        return self._finish(edge, node, status, step, wire + spent)

    def _serve(
        self, kind: str, service: str, zone: str, step: int, budget: float, hit: Fault | None
    ) -> tuple[float, bool]:
        spent = self.slow * self.rng.lognormal(np.log(OWN_MS.get(service, 2) / 1000), 0.4)
        if hit and hit.kind in {"latency", "cpu_burn"}:
            spent += hit.delay_s * self.rng.uniform(0.8, 1.2)
        if hit and hit.kind == "errors" and self.rng.random() < hit.percent:
            return spent, False
        waits, ok = [0.0], True
        for callee in TREE[kind].get(service, []):
            answered, waited = self.call(kind, service, callee, zone, step, budget - spent)
            waits.append(waited)
            ok = ok and (answered or (service, callee) in FALLBACKS)
        parallel = service == "personalization"
        return spent + (max(waits) if parallel else sum(waits)), ok

    def _hit(self, callee: str, caller: str, zone: str, step: int) -> Fault | None:
        fault = self.fault
        if fault is None or fault.service != callee or step < fault.start:
            return None
        same_zone = fault.zone is None or fault.zone == zone
        return fault if same_zone and fault.caller in {None, caller} else None

    def _finish(
        self, edge: Edge, node: str, status: Status, step: int, seconds: float
    ) -> tuple[bool, float]:
        self.recorder.add("client", edge, node, status, step, seconds)
        ok = status is Status.SUCCESS
        if not ok and tuple(edge) in FALLBACKS:
            self.recorder.add("client", edge, node, Status.FALLBACK, step, 0.0)
        return ok, seconds


def simulate(
    seed: int,
    fault: Fault | None = None,
    *,
    steps: int = 100,
    rps: float = 40.0,
    surge: tuple[int, float] | None = None,
    slow_from: int | None = None,
) -> CallWindow:
    """Telemetry of `steps` one-second steps; `surge` = (step, factor) multiplies arrivals."""
    fleet = Fleet(seed, steps, fault)
    for step in range(steps):
        factor = surge[1] if surge and step >= surge[0] else 1.0
        fleet.slow = 4.0 if slow_from is not None and step >= slow_from else 1.0
        for _ in range(fleet.rng.poisson(rps * factor)):
            fleet.request("home" if fleet.rng.random() < 0.7 else "play", step)
    return _window(fleet, steps)


def _window(fleet: Fleet, steps: int) -> CallWindow:
    rows = fleet.recorder.rows
    edges = tuple(sorted({Edge(key[1], key[2]) for key in rows}))
    instances = tuple(sorted({InstanceKey(key[2], key[3]) for key in rows}))
    count = len(STATUSES)

    def gather(side: str, by: str) -> np.ndarray:
        keys = edges if by == "edge" else instances
        out = np.zeros((len(keys), count + 1, steps))
        for key, table in rows.items():
            if key[0] == side:
                at = keys.index(
                    Edge(key[1], key[2]) if by == "edge" else InstanceKey(key[2], key[3])
                )
                out[at] += table
        return out

    client, server = gather("client", "edge"), gather("server", "edge")
    seen, served = gather("client", "node"), gather("server", "node")
    cpu, stall, alive = _gauges(fleet, instances, steps)
    return CallWindow(
        end_ms=1_700_000_000_000 + 1000 * np.arange(1, steps + 1),
        step_ms=1000,
        edges=edges,
        client_calls=client[:, :count],
        client_time_s=client[:, count],
        server_calls=server[:, :count],
        server_time_s=server[:, count],
        retries=np.zeros((len(edges), steps)),
        routes=tuple(Route(Edge("player", "gateway"), kind) for kind in fleet.routes),
        route_calls=np.array([both[0] for both in fleet.routes.values()]),
        route_time_s=np.array([both[1] for both in fleet.routes.values()]),
        instances=instances,
        seen_calls=seen[:, :count],
        seen_time_s=seen[:, count],
        served_calls=served[:, :count],
        served_time_s=served[:, count],
        cpu=cpu,
        stall_s=stall,
        alive=alive,
        starts=fleet.starts,
        start_failures=fleet.failed_starts,
    )


def _gauges(
    fleet: Fleet, instances: tuple[InstanceKey, ...], steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cpu = fleet.rng.uniform(0.05, 0.1, (len(instances), steps))
    stall = fleet.rng.uniform(0.001, 0.003, (len(instances), steps))
    alive = np.ones((len(instances), steps))
    fault = fleet.fault
    for at, key in enumerate(instances):
        if fault and key.service == fault.service and fault.zone in {None, key.instance[-3]}:
            if fault.kind == "cpu_burn":
                cpu[at, fault.start :] = 1.2
                stall[at, fault.start :] = 0.08
            if fault.kind in {"freeze", "crash"}:
                for gauge in (cpu, stall, alive):
                    gauge[at, fault.start :] = np.nan
    return cpu, stall, alive
