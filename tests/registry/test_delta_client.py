"""A small client, written from the protocol alone, that lives on deltas."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.registry.instances import instance

from breakwater.registry import (
    InstanceStatus,
    Registry,
    RegistrySettings,
    UnknownInstanceError,
)
from breakwater.registry.eureka.endpoints import EurekaEndpoints
from breakwater.testing import FakeClock

Held = dict[tuple[str, str], str]


class DeltaClient:
    """Keeps (application, id) -> status by fetching once and applying deltas afterwards."""

    def __init__(self, http: TestClient, *, speaks_json: bool) -> None:
        self._http = http
        self._speaks_json = speaks_json
        self.held: Held = {}
        self.full_fetches = 0
        self._fetch_all()

    def refresh(self) -> None:
        """Apply the delta; fetch everything if the reconciliation code then differs."""
        code, rows = self._read("/eureka/apps/delta")
        for app, name, status, action in rows:
            if action == "DELETED":
                self.held.pop((app, name), None)
            else:
                self.held[app, name] = status
        if code != self._code():
            self._fetch_all()

    def _fetch_all(self) -> None:
        self.full_fetches += 1
        code, rows = self._read("/eureka/apps/")
        self.held = {(app, name): status for app, name, status, _ in rows}
        assert code == self._code()

    def _code(self) -> str:
        counts = Counter(self.held.values())
        return "".join(f"{status}_{counts[status]}_" for status in sorted(counts))

    def _read(self, path: str) -> tuple[str, list[tuple[str, str, str, str]]]:
        if self._speaks_json:
            answer = self._http.get(path, headers={"accept": "application/json"})
            return _from_json(json.loads(answer.content)["applications"])
        return _from_xml(ET.fromstring(self._http.get(path).content))


def _from_json(apps: dict[str, Any]) -> tuple[str, list[tuple[str, str, str, str]]]:
    rows = [
        (app["name"], one["instanceId"], one["status"], one["actionType"])
        for app in apps["application"]
        for one in app["instance"]
    ]
    return apps["apps__hashcode"], rows


def _from_xml(root: ET.Element) -> tuple[str, list[tuple[str, str, str, str]]]:
    rows = [
        (
            app.findtext("name", ""),
            one.findtext("instanceId", ""),
            one.findtext("status", ""),
            one.findtext("actionType", ""),
        )
        for app in root.findall("application")
        for one in app.findall("instance")
    ]
    return root.findtext("apps__hashcode", ""), rows


STEP = st.tuples(
    st.sampled_from(["register", "down", "cancel", "override", "free", "evict"]),
    st.sampled_from(["A", "B"]),
    st.integers(0, 2),
)


@pytest.mark.slow
@pytest.mark.parametrize("speaks_json", [True, False])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rounds=st.lists(st.lists(STEP, max_size=6), max_size=6))
def test_a_client_that_lives_on_deltas_is_never_wrong(
    speaks_json: bool,  # noqa: FBT001 - a table's column
    rounds: list[list[tuple[str, str, int]]],
) -> None:
    """However the registry changes, deltas alone bring a client to what the registry holds."""
    clock = FakeClock()
    registry = Registry(RegistrySettings(), clock)
    with TestClient(Starlette(routes=EurekaEndpoints(registry).routes())) as http:
        client = DeltaClient(http, speaks_json=speaks_json)
        for steps in rounds:
            for action, app, number in steps:
                _perform(registry, clock, action, (app, f"{app}-{number}"))
            client.refresh()
            assert client.held == _truth(registry)
        assert client.full_fetches == 1


def test_a_client_that_comes_too_late_finds_out() -> None:
    """After more than the retention the code differs, and the client fetches everything."""
    clock = FakeClock()
    registry = Registry(RegistrySettings(), clock)
    with TestClient(Starlette(routes=EurekaEndpoints(registry).routes())) as http:
        client = DeltaClient(http, speaks_json=True)
        registry.register("A", instance("a-1", "A"))
        clock.advance(200)
        client.refresh()
        assert client.full_fetches == 2
        assert client.held == _truth(registry)


def _truth(registry: Registry) -> Held:
    return {(info.app, info.instance_id): info.status.value for info in registry.infos()}


def _perform(registry: Registry, clock: FakeClock, action: str, key: tuple[str, str]) -> None:
    app, name = key
    clock.advance(1)
    try:
        if action == "register":
            registry.register(app, instance(name, app, last_dirty_ms=clock.now_ms()))
        elif action == "down":
            down = instance(name, app, status=InstanceStatus.DOWN, last_dirty_ms=clock.now_ms())
            registry.register(app, down)
        elif action == "cancel":
            registry.cancel(app, name)
        elif action == "override":
            registry.override_status(app, name, InstanceStatus.OUT_OF_SERVICE)
        elif action == "free":
            registry.remove_override(app, name)
        else:
            clock.advance(15)
            registry.evict()
    except UnknownInstanceError:
        return  # a random action may well name an instance that is gone
