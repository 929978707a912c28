"""The instances as targets: their labels, the file, and a stock Prometheus that finds them."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from tests.registry.instances import instance
from tests.registry.registry_server import DEADLINE_S, served

from breakwater.model import Instance
from breakwater.registry import Directory, InstanceStatus, LeaseInfo, Port, RegistrySettings
from breakwater.registry.native.prometheus import TargetGroup, keep_file, targets
from breakwater.testing import FakeClock

TERMS = LeaseInfo(renewal_interval_s=1_200, duration_s=3_600)
META = "__meta_breakwater_"


def test_labels() -> None:
    """Everything that is known of an instance is a label; keys are made fit for one."""
    one = Instance(
        service="ranker", instance_id="r-1", host="::1", port=80, zone="a",
        metadata={"pid": "7", "build.of-day": "x", "build_of_day": "y"},
    )  # fmt: skip
    assert targets([one]) == [
        TargetGroup(
            targets=["[::1]:80"],
            labels={
                f"{META}service": "ranker",
                f"{META}instance": "r-1",
                f"{META}zone": "a",
                f"{META}status": "UP",
                f"{META}health": "fresh",
                f"{META}metadata_pid": "7",
                f"{META}metadata_build_of_day": "y",
            },
        )
    ]


def test_which_instances_are_targets() -> None:
    """Those that are UP and listen somewhere; on request those of every status."""
    kinds = [("up", "UP", 1), ("down", "DOWN", 1), ("portless", "UP", 0)]
    found = [
        Instance(service="s", instance_id=name, host="h", port=port, status=status)
        for name, status, port in kinds
    ]
    names = [group.labels[f"{META}instance"] for group in targets(found)]
    every = [group.labels[f"{META}instance"] for group in targets(found, is_every_status=True)]
    assert (names, every) == (["up"], ["up", "down"])


def read(path: Path) -> list[str]:
    """The instances that a file names."""
    groups = msgspec.json.decode(path.read_bytes(), type=list[TargetGroup])
    return [group.labels[f"{META}instance"] for group in groups]


def names_in(folder: Path) -> list[str]:
    """What lies in a folder."""
    return [each.name for each in folder.iterdir()]


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_file_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    """It is there at once, as the instances are, and again after each change; nothing else is."""
    directory = Directory(RegistrySettings(), clock)
    path = tmp_path / "targets.json"
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(keep_file, directory.native, path)
            await until(path.exists)
            assert read(path) == []
            directory.registry.register("RANKER", instance(lease=TERMS))
            await until(lambda: read(path) == ["ranker-a-1"])
            directory.registry.cancel("RANKER", "ranker-a-1")
            await until(lambda: read(path) == [])
            directory.close()
    assert names_in(tmp_path) == [path.name]


@pytest.mark.anyio
async def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path, clock: FakeClock) -> None:
    """A folder that is not there is said in the log; the registry goes on."""
    directory = Directory(RegistrySettings(), clock)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(keep_file, directory.native, tmp_path / "no" / "targets.json")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Look until something holds; the caller has the deadline."""
    while not holds():  # noqa: ASYNC110 - a file tells nobody that it was replaced
        await anyio.sleep(0.02)


CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: http
  http_sd_configs: [{{url: '{url}/api/v1/registry/prometheus', refresh_interval: 200ms}}]
- job_name: file
  file_sd_configs: [{{files: ['{file}'], refresh_interval: 1s}}]
  relabel_configs: [{{source_labels: [__meta_breakwater_zone], target_label: zone}}]
"""


@pytest.mark.slow
def test_a_stock_prometheus_finds_the_instances(tmp_path: Path) -> None:
    """By HTTP and by file: who is UP is a target with its labels, who leaves is none any more."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    path = tmp_path / "targets.json"
    settings = RegistrySettings(prometheus_file=str(path), probing=False)
    with served(settings) as place, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        for number in (1, 2, 3):
            place.registry.register(
                "RANKER",
                instance(
                    f"r-{number}",
                    metadata={"zone": "a", "team": "search"},
                    port=Port(number=number, is_enabled=True),
                    lease=TERMS,
                ),
            )
        place.registry.override_status("RANKER", "r-3", InstanceStatus.OUT_OF_SERVICE)
        config = tmp_path / "prometheus.yml"
        config.write_text(CONFIG.format(url=place.url, file=path))
        command = [
            program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                both = {(job, name) for job in ("http", "file") for name in ("r-1", "r-2")}
                found = wait_for_targets(port, both)
                labels = found["http", "r-1"]["discoveredLabels"]
                assert labels[f"{META}metadata_team"] == "search"
                assert found["file", "r-1"]["labels"]["zone"] == "a"
                place.registry.cancel("RANKER", "r-2")
                wait_for_targets(port, {("http", "r-1"), ("file", "r-1")})
            finally:
                process.kill()
                process.wait()


def wait_for_targets(port: int, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """The targets by job and instance, once they are those."""
    found: dict[tuple[str, str], Any] = {}
    latest_s = time.monotonic() + 2 * DEADLINE_S
    while time.monotonic() < latest_s:
        try:
            url = f"http://127.0.0.1:{port}/api/v1/targets?state=active"
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                listed = json.load(answer)["data"]["activeTargets"]
        except (urllib.error.URLError, ConnectionError):
            listed = []
        found = {
            (each["scrapePool"], each["discoveredLabels"][f"{META}instance"]): each
            for each in listed
        }
        if set(found) == wanted:
            return found
        time.sleep(0.1)
    raise AssertionError(f"Prometheus has {sorted(found)}, not {sorted(wanted)}")
