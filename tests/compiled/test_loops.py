"""Loops are compiled once a machine, and again when anything they are made of changes."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from breakwater.compiled import inlined, loop, stats
from breakwater.compiled.loops import Workshop
from breakwater.model import SystemClock

_LOOPS = """
from shop import workshop
from shop.prices import PRICE

def total(count):
    return count * PRICE

total = workshop.compile(total, is_inlined=False)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with one loop, which reads a constant of another module."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "__init__.py").write_text("workshop = None")
    (root / "loops.py").write_text(_LOOPS)
    (root / "prices.py").write_text("PRICE = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield root
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def _started(package: Path, roots: list[Path] | None = None) -> tuple[Workshop, Callable[..., Any]]:
    """What a process finds that starts now: its workshop, and the loop."""
    _forget()
    importlib.invalidate_caches()
    workshop = Workshop(package, roots or [package / "kept"], SystemClock())
    shop: Any = importlib.import_module("shop")
    shop.workshop = workshop
    return workshop, importlib.import_module("shop.loops").total


def test_code_is_compiled_once_a_machine(package: Path) -> None:
    """What one process compiled, the next one finds; other types are compiled when they come."""
    first, total = _started(package)
    assert total(3) == 6
    assert (first.stats().compiled, first.stats().kept, first.stats().found) == (1, 1, 0)
    second, total = _started(package)
    assert total(3) == 6
    assert (second.stats().compiled, second.stats().found) == (0, 1)
    assert total(1.5) == 3.0
    assert (second.stats().compiled, second.stats().kept) == (1, 1)


def test_changed_constant_of_another_module_gives_new_code(package: Path) -> None:
    """An edit of another module is followed though neither size nor time of any file tells it."""
    times = (1.0e9, 1.0e9)
    for name in ("loops.py", "prices.py"):
        os.utime(package / name, times)
    assert _started(package)[1](3) == 6
    (package / "prices.py").write_text("PRICE = 5\n")
    os.utime(package / "prices.py", times)
    workshop, total = _started(package)
    assert total(3) == 15
    assert workshop.stats().compiled == 1


def test_code_of_a_former_source_is_not_taken_for_that_of_the_new(package: Path) -> None:
    """A process that runs on with a constant that was edited keeps its code for itself."""
    importlib.invalidate_caches()
    shop: Any = importlib.import_module("shop")
    importlib.import_module("shop.prices")
    (package / "prices.py").write_text("PRICE = 5\n")
    shop.workshop = Workshop(package, [package / "kept"], SystemClock())
    assert importlib.import_module("shop.loops").total(3) == 6
    assert _started(package)[1](3) == 15


def test_package_that_cannot_be_written_to_keeps_code_for_the_user(
    package: Path, tmp_path: Path
) -> None:
    """An installation that is read-only compiles once too."""
    roots = [package / "loops.py" / "kept", tmp_path / "user"]
    assert _started(package, roots)[1](3) == 6
    workshop, total = _started(package, roots)
    assert total(3) == 6
    assert workshop.stats().found == 1


def test_loops_run_where_no_code_can_be_kept(package: Path) -> None:
    """Where nothing can be written everything works, compiled anew each time, and it is said."""
    with capture_logs() as logs:
        workshop, total = _started(package, [package / "loops.py" / "kept"])
        assert total(3) == 6
    assert (workshop.stats().compiled, workshop.stats().kept) == (1, 0)
    assert [entry["event"] for entry in logs] == ["compiled.not_kept"]


def test_sources_that_cannot_be_read_are_said_once(package: Path) -> None:
    """Loops whose sources are gone run too, and are compiled at every start."""
    total: Any = _started(package)[1]
    (package / "loops.py").unlink()
    workshop = Workshop(package, [package / "kept"], SystemClock())
    with capture_logs() as logs:
        assert workshop.compile(total.py_func, is_inlined=False)(3) == 6
    assert (workshop.stats().compiled, workshop.stats().kept) == (1, 0)
    assert [entry["event"] for entry in logs] == ["compiled.not_kept"]


_PROCESS = """
import sys
from pathlib import Path
import shop
from breakwater.compiled.loops import Workshop
from breakwater.model import SystemClock
package = Path(sys.argv[1])
shop.workshop = Workshop(package, [package / "kept"], SystemClock())
from shop.loops import total
print("ready", flush=True)
sys.stdin.readline()
calls = [lambda: total(3), lambda: total(1.5), lambda: total(1j)]
turn = int(sys.argv[2])
found = [call() for call in calls[turn:] + calls[:turn]]
assert sorted(map(abs, found)) == [2, 3, 6], found
"""


@pytest.mark.slow
def test_several_processes_may_compile_at_once(package: Path) -> None:
    """Processes that compile and read the same loops at the same time get right code of each."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(package), str(turn)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for turn in (0, 1, 2, 0)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    workshop, total = _started(package)
    assert (total(3), total(1.5), total(1j)) == (6, 3.0, 2j)
    assert (workshop.stats().found, workshop.stats().compiled) == (3, 0)
    assert len(list((package / "kept").glob("*/*"))) == 3


def test_loops_divide_like_numpy_and_call_each_other() -> None:
    """Both kinds of loops divide by zero without an error, one called by the other or alone."""
    before = stats()

    @inlined
    def ratio(one: float, other: float) -> float:
        return one / other

    @loop
    def ratios(one: float) -> float:
        return ratio(one, 0.0)

    assert ratio(1.0, 0.0) == np.inf
    assert ratios(-1.0) == -np.inf
    after = stats()
    assert after.loops == before.loops + 2
    assert after.kept == before.kept  # it is no part of the platform
