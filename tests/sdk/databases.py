"""Private database servers for tests, each on a free port, or a reason why there is none."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.sdk.fleet import PATIENCE_S


@contextmanager
def postgresql() -> Iterator[str]:
    """The address `user@host:port/database` of a PostgreSQL of our own; skips where none is."""
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or server is None:
        pytest.skip("needs PostgreSQL: initdb and postgres are not on the path")
    user = "nobody" if os.geteuid() == 0 else None  # it refuses to be run by root
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(data, user)
        made = subprocess.run(
            [initdb, "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
            user=user, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.skip(f"no PostgreSQL could be set up here: {made.stderr[-200:]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started = subprocess.Popen(
            [server, "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"],
            user=user, cwd=folder, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            _wait_for_line(started, "ready to accept connections")
            yield f"tests@127.0.0.1:{port}/postgres"
        finally:
            started.send_signal(2)
            started.communicate(timeout=PATIENCE_S)


@contextmanager
def redis() -> Iterator[int]:
    """The port of a Redis of our own; skips where none is."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("needs Redis: redis-server is not on the path (apt-get install redis-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        started = subprocess.Popen(
            [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            _wait_for_line(started, "Ready to accept connections")
            yield port
        finally:
            started.terminate()
            started.communicate(timeout=PATIENCE_S)


def _wait_for_line(started: "subprocess.Popen[str]", text: str) -> None:
    """Read what a server says until it says this."""
    said = started.stdout or started.stderr
    assert said is not None
    seen: list[str] = []
    for line in said:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"the server ended: {''.join(seen)[-500:]}", sys.platform)
