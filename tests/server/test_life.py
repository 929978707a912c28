"""How a platform starts, is refused, and ends."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from click.testing import CliRunner

from breakwater.server.commands import token

if TYPE_CHECKING:
    from tests.server.conftest import RunningServer

pytestmark = pytest.mark.slow

Start = Callable[..., AbstractContextManager["RunningServer"]]
Until = Callable[..., None]
SECRETS = {role: f"bw_{role}" for role in ("viewer", "operator", "chaos")}


def serve(folder: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """A server that is expected to refuse to start."""
    return subprocess.run(
        [sys.executable, "-m", "breakwater.cli", "serve", "--data-dir", "data", *flags],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_sigterm_leaves_nothing(start_server: Start, tmp_path: Path) -> None:
    """After SIGTERM the exit is clean, ports and ledger are free, and no child is left."""
    with start_server(tmp_path) as first:
        children = psutil.Process(first.process.pid).children(recursive=True)
        assert first.stop() == 0
        assert not [child for child in children if child.is_running()]
    ports = ("--port", str(first.http_port), "--udp-port", str(first.udp_port))
    with start_server(tmp_path, *ports) as second:
        assert second.http_port == first.http_port
        assert second.stop(signal.SIGINT) == 0


def test_the_journal_survives_a_kill(start_server: Start, tmp_path: Path) -> None:
    """A change that was acknowledged is there after kill -9 and a new start."""
    with start_server(tmp_path) as first:
        change = {"kind": "deploy", "target": "web", "actor": "ci", "source": "test"}
        made = first.call("POST", "/api/v1/changes", change)
        assert made.status == 201
        first.stop(signal.SIGKILL)
    with start_server(tmp_path) as second:
        assert second.call("GET", f"/api/v1/changes/{made.json['id']}").json["target"] == "web"


def test_waiting_callers_are_answered_at_the_end(start_server: Start, tmp_path: Path) -> None:
    """Long polls do not hold up the end: they are answered and the server leaves."""
    with start_server(tmp_path) as server:
        view = server.call("GET", "/api/v1/registry/instances").json
        rules = server.call("GET", "/api/v1/faults/rules?service=web&instance=w").json
        paths = [
            f"/api/v1/registry/instances?revision={view['revision']}&wait_s=50",
            f"/api/v1/faults/rules?service=web&instance=w&revision={rules['revision']}&wait_s=50",
        ]
        waiting = []
        for path in paths:
            raw = socket.create_connection(("127.0.0.1", server.http_port), timeout=30)
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            waiting.append(raw)
        assert server.call("GET", "/healthcheck").status == 200  # they have been read by now
        assert server.stop() == 0
        for raw in waiting:
            with raw:
                assert raw.recv(64).startswith(b"HTTP/1.1 ")


def test_a_taken_port_is_told(start_server: Start, tmp_path: Path) -> None:
    """A second server on the same HTTP or UDP port ends with the address and what to do."""
    other = tmp_path / "other"
    other.mkdir()
    with start_server(tmp_path) as server:
        refused = serve(other, "--port", str(server.http_port), "--udp-port", "0")
        assert refused.returncode == 2
        assert f"cannot listen on 127.0.0.1:{server.http_port}" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        refused = serve(other, "--port", "0", "--udp-port", str(server.udp_port))
        assert refused.returncode == 2
        assert f"udp://127.0.0.1:{server.udp_port}" in refused.stderr


def test_a_data_folder_belongs_to_one_server(start_server: Start, tmp_path: Path) -> None:
    """Two platforms never share one undo ledger."""
    with start_server(tmp_path):
        refused = serve(tmp_path, "--port", "0", "--udp-port", "0")
        assert refused.returncode == 2
        assert "ledger" in refused.stderr


@pytest.mark.parametrize("flag", ["--host", "--udp-host"])
def test_an_open_port_without_a_token_is_refused(tmp_path: Path, flag: str) -> None:
    """Listening beyond the machine needs a token first."""
    refused = serve(tmp_path, flag, "0.0.0.0", "--port", "0", "--udp-port", "0")
    assert refused.returncode == 2
    assert "tokens is empty" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    """A mistake in the settings is exit 2 and one line that names it."""
    refused = serve(tmp_path, "--set", "metrics.step_ms=7")
    assert refused.returncode == 2
    assert refused.stderr.startswith("breakwater: metrics.step_ms is 7 (--set metrics.step_ms)")
    assert len(refused.stderr.splitlines()) == 1


def test_show_settings(tmp_path: Path) -> None:
    """--show-settings prints and starts nothing."""
    shown = serve(tmp_path, "--show-settings", "--port", "8080")
    assert shown.returncode == 0
    assert "port = 8080  # flag" in shown.stdout
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder below a file is told by its name."""
    (tmp_path / "data").write_text("a file")
    refused = serve(tmp_path, "--port", "0", "--udp-port", "0")
    assert refused.returncode == 2
    assert "data" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_ready_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is refused before anything is started, not after."""
    refused = serve(tmp_path, "--port", "0", "--udp-port", "0", "--ready-file", "none/ready.json")
    assert refused.returncode == 2
    assert refused.stderr.startswith("breakwater: the ready file none/ready.json cannot be written")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["", "x" * 81])
def test_a_token_has_a_name_that_the_settings_take(name: str) -> None:
    """No entry is printed that the next start would refuse."""
    answer = CliRunner().invoke(token, [name])
    assert answer.exit_code == 2
    assert "a name has 1 to 80 characters" in answer.output


@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """A folder whose settings file knows one token a role."""
    lines = []
    for role, secret in SECRETS.items():
        digest = hashlib.sha256(secret.encode()).hexdigest()
        lines.append(f'[[tokens]]\nname = "{role}"\nrole = "{role}"\nsha256 = "{digest}"\n')
    (tmp_path / "breakwater.toml").write_text("\n".join(lines))
    return tmp_path


def test_tokens_decide_who_may_do_what(start_server: Start, guarded: Path) -> None:
    """With tokens the server may listen anywhere, and every request needs the right one."""
    with start_server(guarded, "--host", "0.0.0.0") as server:

        def status(method: str, path: str, role: str | None, body: object = None) -> int:
            held = {} if role is None else {"authorization": f"Bearer {SECRETS[role]}"}
            answer = server.call(method, path, body, headers=held)
            return answer.status

        change = {"kind": "deploy", "target": "web", "actor": "ci", "source": "test"}
        assert status("GET", "/healthcheck", None) == 200
        assert status("GET", "/api/v1/tags", None) == 401
        assert status("GET", "/api/v1/tags", "viewer") == 200
        assert status("POST", "/api/v1/changes", "viewer", change) == 403
        assert status("POST", "/api/v1/changes", "operator", change) == 201
        assert status("POST", "/api/v1/chaos/faults", "operator", {}) == 403
        assert status("POST", "/api/v1/chaos/faults", "chaos", {}) == 400
        assert status("DELETE", "/api/v1/chaos/faults", "viewer") == 403
        assert status("DELETE", "/api/v1/chaos/faults", "operator") == 200
        unknown = server.call("GET", "/api/v1/tags", headers={"authorization": "Bearer bw_other"})
        assert unknown.status == 401
        assert unknown.json["type"] == "error"
        assert "Bearer" in unknown.headers["www-authenticate"]


def test_overload_is_bounded_and_counted(start_server: Start, tmp_path: Path) -> None:
    """Beyond max_requests callers are told to come back; health still answers."""
    with start_server(tmp_path, "--set", "server.max_requests=1") as server:
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as slow:
            slow.sendall(
                b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
            )
            busy = server.call("GET", "/api/v1/tags")
            assert busy.status == 503
            assert busy.headers["retry-after"] == "1"
            assert server.call("GET", "/healthcheck").status == 200
            slow.sendall(b'"a":  1}')
            assert slow.recv(64).startswith(b"HTTP/1.1 400")
        assert server.call("GET", "/api/v1/stats").json["http"]["overloaded"] == 1


def test_bodies_are_counted_while_they_come(start_server: Start, tmp_path: Path) -> None:
    """A chunked body that grows beyond the bound is cut off with 413."""
    with start_server(tmp_path, "--set", "server.max_body_bytes=2000") as server:
        chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as raw:
            raw.sendall(
                b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3
            )
            assert raw.recv(64).startswith(b"HTTP/1.1 413")


def test_the_server_dies_with_its_parent(tmp_path: Path, until: Until) -> None:
    """A parent killed without a chance to clean up leaves no server behind."""
    pid_file = tmp_path / "ready.json"
    code = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'breakwater.cli', 'serve', '--port', '0',"
        " '--udp-port', '0', '--data-dir', 'data', '--ready-file', 'ready.json',"
        " '--die-with-parent'])\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(pid_file.exists)
    (server,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(60)
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
