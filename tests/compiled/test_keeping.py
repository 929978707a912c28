"""Where machine code is kept, and for how long."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from breakwater.compiled.keeping import Shelf, default_roots
from breakwater.model import SystemClock
from breakwater.testing import FakeClock

_DAY_MS = 86_400_000


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one module."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "loops.py").write_text("")
    return root


def _shelf(package: Path, digest: str = "d1", *, roots: list[Path] | None = None) -> Shelf:
    roots = [package / "kept"] if roots is None else roots
    return Shelf(roots, package, "loops", digest, _clock())


def _clock(days: float = 0.0) -> FakeClock:
    """The time the file system goes by, or so many days later."""
    return FakeClock(SystemClock().now_ms() + int(days * _DAY_MS))


def test_kept_code_is_found_by_another_process(package: Path) -> None:
    """What one puts under a name, another that has the same digest gets."""
    assert _shelf(package).put("sum-1", b"code")
    assert _shelf(package).get("sum-1") == b"code"
    assert _shelf(package).get("sum-2") is None


def test_code_of_other_sources_is_not_found(package: Path) -> None:
    """Code belongs to the digest it was made for."""
    _shelf(package).put("sum-1", b"code")
    assert _shelf(package, "d2").get("sum-1") is None


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(64)])
def test_damaged_code_is_never_run(package: Path, damaged: bytes) -> None:
    """A file that is not as it was written counts as not there, and can be written again."""
    shelf = _shelf(package)
    shelf.put("sum-1", b"code")
    (package / "kept" / "loops-d1" / "sum-1").write_bytes(damaged)
    assert shelf.get("sum-1") is None
    assert shelf.put("sum-1", b"code")
    assert shelf.get("sum-1") == b"code"


def test_second_folder_is_used_where_the_first_cannot_be(package: Path, tmp_path: Path) -> None:
    """Where the package cannot be written to, code is kept for the user."""
    roots = [package / "loops.py" / "kept", tmp_path / "user" / "kept"]
    assert _shelf(package, roots=roots).put("sum-1", b"code")
    assert (tmp_path / "user" / "kept" / "loops-d1" / "sum-1").is_file()
    assert _shelf(package, roots=roots).get("sum-1") == b"code"


def test_code_is_read_from_every_folder(package: Path, tmp_path: Path) -> None:
    """Code that was kept for the user is found although the package can be written to by now."""
    _shelf(package, roots=[tmp_path / "user"]).put("sum-1", b"code")
    assert _shelf(package, roots=[package / "kept", tmp_path / "user"]).get("sum-1") == b"code"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_code_beside_a_package_that_is_read_only_is_read(package: Path, tmp_path: Path) -> None:
    """Code compiled when an image was built serves where only the user's folder can be written."""
    _shelf(package).put("sum-1", b"code")
    folder = package / "kept" / "loops-d1"
    folder.chmod(0o555)
    shelf = _shelf(package, roots=[package / "kept", tmp_path / "user"])
    assert shelf.get("sum-1") == b"code"
    assert shelf.put("sum-2", b"more")
    assert [path.name for path in folder.iterdir()] == ["sum-1"]
    folder.chmod(0o755)


def test_nothing_is_kept_where_nothing_can_be_written(package: Path) -> None:
    """Without a folder to write to there is no code, and no error either."""
    shelf = _shelf(package, roots=[package / "loops.py" / "kept"])
    assert not shelf.is_open
    assert not shelf.put("sum-1", b"code")
    assert shelf.get("sum-1") is None


def test_a_write_that_fails_is_said_once(package: Path) -> None:
    """A full disk costs a warning, and nothing is left half-written."""
    shelf = _shelf(package)
    (package / "kept" / "loops-d1" / "sum-1").mkdir()
    with capture_logs() as logs:
        assert not shelf.put("sum-1", b"code")
        assert not shelf.put("sum-2", b"code")
    assert [entry["event"] for entry in logs] == ["compiled.not_kept"]
    assert [path.name for path in (package / "kept" / "loops-d1").iterdir()] == ["sum-1"]


def test_code_nobody_used_for_a_week_goes(package: Path) -> None:
    """Code of former sources is removed a week after its last use, not before."""
    roots = [package / "kept"]
    _shelf(package).put("sum-1", b"code")
    Shelf(roots, package, "loops", "d2", _clock(days=6.0))
    assert _shelf(package).get("sum-1") == b"code"
    Shelf(roots, package, "loops", "d3", _clock(days=8.0))
    assert sorted(path.name for path in roots[0].iterdir()) == ["loops-d3"]


def test_code_in_use_stays(package: Path) -> None:
    """Two installations of different age that share a folder keep each other's code."""
    roots = [package / "kept"]
    _shelf(package).put("sum-1", b"code")
    Shelf(roots, package, "loops", "d1", _clock(days=6.0))
    Shelf(roots, package, "loops", "d2", _clock(days=8.0))
    assert sorted(path.name for path in roots[0].iterdir()) == ["loops-d1", "loops-d2"]


def test_code_of_modules_that_are_gone_goes_too(package: Path) -> None:
    """Code of a module that was renamed is removed after a week; that of another module stays."""
    roots = [package / "kept"]
    (package / "sums.py").write_text("")
    for module in ("gone", "sums"):
        Shelf(roots, package, module, "d1", _clock())
    Shelf(roots, package, "loops", "d1", _clock(days=8.0))
    assert sorted(path.name for path in roots[0].iterdir()) == ["loops-d1", "sums-d1"]


def test_folders_are_the_packages_then_the_users(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code is kept beside the package or in the user's cache folder, or where numba is told to."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/user/cache")
    beside = package / "__pycache__" / "loops"
    assert default_roots(package) == [beside, Path("/home/user/cache/breakwater/loops")]
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/user")
    assert default_roots(package) == [beside, Path("/home/user/.cache/breakwater/loops")]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    assert default_roots(package) == [Path("/elsewhere/shop")]
