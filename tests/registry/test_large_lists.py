"""Long lists under change, read over real HTTP."""

import gzip
import http.client
import json
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import pytest
from tests.registry.instances import instance
from tests.registry.registry_server import Served, served

from breakwater.registry.eureka.forms import JSON

pytestmark = pytest.mark.slow

_APPS = 7
_STEADY = 300
_COMING = 60

Rows = list[tuple[str, str, str]]


class Caller:
    """One kept-alive connection to the server."""

    def __init__(self, place: Served) -> None:
        self._http = http.client.HTTPConnection(place.url.removeprefix("http://"), timeout=20)

    def __enter__(self) -> Self:
        """Nothing to do yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The unpacked body of an answer that must not be a refusal."""
        self._http.request(method, f"/eureka{path}", body, dict(headers or {}))
        answer = self._http.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        packed = answer.getheader("content-encoding") == "gzip"
        return gzip.decompress(content) if packed else content

    def register(self, number: int) -> None:
        """Let an instance come, one of a few applications."""
        app = f"APP-{number % _APPS}"
        info = instance(f"i-{number}", app, vip_address="all", health_check_url="http://x/")
        body = JSON.instance(JSON.fragment(info, is_compact=False))
        self.ask("POST", f"/apps/{app}", body, {"content-type": "application/json"})

    def cancel(self, number: int) -> None:
        """Let it go."""
        self.ask("DELETE", f"/apps/APP-{number % _APPS}/i-{number}")


def as_json(content: bytes) -> tuple[str, Rows]:
    """Code and rows of a list in JSON."""
    apps = json.loads(content)["applications"]
    rows = [
        (app["name"], one["instanceId"], one["status"])
        for app in apps["application"]
        for one in app["instance"]
    ]
    return apps["apps__hashcode"], rows


def as_xml(content: bytes) -> tuple[str, Rows]:
    """Code and rows of a list in XML."""
    root = ET.fromstring(content)
    rows = [
        (app.findtext("name", ""), one.findtext("instanceId", ""), one.findtext("status", ""))
        for app in root.findall("application")
        for one in app.findall("instance")
    ]
    return root.findtext("apps__hashcode", ""), rows


Reader = tuple[Mapping[str, str], Callable[[bytes], tuple[str, Rows]]]
READERS: dict[str, Reader] = {
    "json": ({"accept": "application/json", "accept-encoding": "gzip"}, as_json),
    "plain json": ({"accept": "application/json"}, as_json),
    "xml": ({"accept-encoding": "gzip"}, as_xml),
    "compact": (
        {"accept": "application/json", "accept-encoding": "gzip", "x-eureka-accept": "compact"},
        as_json,
    ),
}


def test_every_list_is_whole_while_instances_come_and_go() -> None:
    """Each answer agrees with its own code, names nobody twice, and has all who were there."""
    with served() as place:
        with Caller(place) as caller:
            for number in range(_STEADY):
                caller.register(number)
        done = threading.Event()
        with ThreadPoolExecutor(len(READERS) + 1) as pool:
            reading = [pool.submit(_read, place, reader, done) for reader in READERS.values()]
            churning = pool.submit(_churn, place, done)
            churning.result(120)
            assert all(job.result(120) > 0 for job in reading)
        end = _STEADY + _COMING
        expected = {f"i-{number}" for number in (*range(_STEADY), *range(end - 10, end))}
        with Caller(place) as caller:
            for headers, parsed in READERS.values():
                _, rows = parsed(caller.ask("GET", "/apps/", headers=headers))
                assert {name for _, name, _ in rows} == expected


def _churn(place: Served, done: threading.Event) -> None:
    """Let one after the other come, and go when ten more have come."""
    try:
        with Caller(place) as caller:
            for number in range(_STEADY, _STEADY + _COMING):
                caller.register(number)
                if number >= _STEADY + 10:
                    caller.cancel(number - 10)
    finally:
        done.set()


def _read(place: Served, reader: Reader, done: threading.Event) -> int:
    """Fetch and check until `done`; how often."""
    headers, parsed = reader
    fetches = 0
    with Caller(place) as caller:
        while not done.is_set() or not fetches:
            _check(*parsed(caller.ask("GET", "/apps/", headers=headers)))
            _check(*parsed(caller.ask("GET", "/vips/all", headers=headers)))
            fetches += 1
    return fetches


def _check(code: str, rows: Rows) -> None:
    names = [name for _, name, _ in rows]
    assert len(names) == len(set(names))
    assert {f"i-{number}" for number in range(_STEADY)} <= set(names)
    assert all(app == f"APP-{int(name[2:]) % _APPS}" for app, name, _ in rows)
    counts = Counter(status for _, _, status in rows)
    assert code == "".join(f"{status}_{counts[status]}_" for status in sorted(counts))
