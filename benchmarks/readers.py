"""Eight readers while data comes in: what queries and intake cost each other.

Readers are processes of their own, each with one connection, asking the questions in turn with
short pauses, first on an idle server, then while remote write runs at half of what it can do.

What is lost of the load is what was sent and not stored. The server's own count of drops does not
say that: its meters of itself are stamped by its late clock, hours before the newest data, so once
a minute it drops all of them, more than a hundred, as too late.
"""

import json
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.queues import Queue
from typing import Final, NamedTuple

import numpy as np

from benchmarks.fleet_data import MINUTES, STEP_MS, RemoteWriteBatch, Values, batches
from benchmarks.peers import ALL_CORES, Breakwater, Connection, Question

_READERS: Final = 8
_PAUSE_S: Final = 0.05
_PHASE_S: Final = 15.0
_SAMPLES: Final = 30_000


class _Written(NamedTuple):
    """How many samples were sent, in how long, and how many of them the server did not store."""

    samples: int
    seconds: float
    lost: int

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.samples / self.seconds


def read_while_writing(
    server: Breakwater, questions: Sequence[Question], start_ms: int
) -> dict[str, float]:
    """Percentiles of query seconds idle and under load, and what the intake reached."""
    newest_ms = start_ms + MINUTES * STEP_MS
    most = _write(server, newest_ms, seconds=5.0, rate=float("inf")).rate
    idle = _read(server, questions, start_ms)
    context = multiprocessing.get_context("fork")
    answers: Queue[list[float]] = context.Queue()
    readers = _start(server, questions, start_ms, answers)
    written = _write(server, newest_ms, seconds=_PHASE_S, rate=most / 2)
    loaded = _collected(readers, answers)
    return {
        "queries idle": float(len(idle)),
        "queries loaded": float(len(loaded)),
        "idle p50 ms": 1000 * float(np.percentile(idle, 50)),
        "idle p99 ms": 1000 * float(np.percentile(idle, 99)),
        "loaded p50 ms": 1000 * float(np.percentile(loaded, 50)),
        "loaded p99 ms": 1000 * float(np.percentile(loaded, 99)),
        "p99 ratio": float(np.percentile(loaded, 99) / np.percentile(idle, 99)),
        "most samples/s": most,
        "asked samples/s": most / 2,
        "reached samples/s": written.rate,
        "dropped": float(written.lost),
    }


def _read(server: Breakwater, questions: Sequence[Question], start_ms: int) -> list[float]:
    answers: Queue[list[float]] = multiprocessing.get_context("fork").Queue()
    return _collected(_start(server, questions, start_ms, answers), answers)


def _start(
    server: Breakwater, questions: Sequence[Question], start_ms: int, answers: "Queue[list[float]]"
) -> list[multiprocessing.context.ForkProcess]:
    context = multiprocessing.get_context("fork")
    readers = [
        context.Process(target=_ask_on, args=(server, questions, start_ms, n, answers))
        for n in range(_READERS)
    ]
    for reader in readers:
        reader.start()
    return readers


def _ask_on(
    server: Breakwater,
    questions: Sequence[Question],
    start_ms: int,
    number: int,
    answers: "Queue[list[float]]",
) -> None:
    """Ask for the length of a phase; runs in a process of its own."""
    connection = Connection(server.port)
    took = []
    end_s = time.monotonic() + _PHASE_S
    turn = number
    while time.monotonic() < end_s:
        took.append(server.fetch(connection, questions[turn % len(questions)], start_ms)[1])
        turn += 1
        time.sleep(_PAUSE_S)
    answers.put(took)


def _collected(
    readers: list[multiprocessing.context.ForkProcess], answers: "Queue[list[float]]"
) -> list[float]:
    took = [seconds for _ in readers for seconds in answers.get(timeout=120)]
    for reader in readers:
        reader.join()
    return took


def _write(server: Breakwater, start_ms: int, *, seconds: float, rate: float) -> _Written:
    """Send the newest minute again and again at a rate; nobody else may write meanwhile."""
    server.bind(ALL_CORES)
    connection = Connection(server.port)
    column = Values("realistic").next()
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    bodies = [
        RemoteWriteBatch(part.start, len(part)).encoded(start_ms, column)
        for part in batches(_SAMPLES)
    ]
    sizes = [len(part) for part in batches(_SAMPLES)]
    before = _stored(server)
    began_s = time.monotonic()
    sent = turn = 0
    while time.monotonic() - began_s < seconds:
        ahead_s = sent / rate - (time.monotonic() - began_s)
        if ahead_s > 0:
            time.sleep(ahead_s)
        connection.post(server.write_path, bodies[turn % len(bodies)], headers)
        sent += sizes[turn % len(bodies)]
        turn += 1
    took_s = time.monotonic() - began_s
    lost = sent - (_stored(server) - before)
    if lost < 0:
        raise RuntimeError(f"{-lost} more samples were stored than the {sent} that were sent")
    return _Written(sent, took_s, lost)


def _stored(server: Breakwater) -> int:
    body, _ = Connection(server.port).get("/api/v1/stats")
    return int(json.loads(body)["metrics"]["datapoints"])
