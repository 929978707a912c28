"""What the digest of a module's sources covers."""

from pathlib import Path

import pytest

from breakwater.compiled.sources import Sources


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose module `loops` takes from others in every way there is."""
    texts = {
        "__init__.py": "",
        "loops.py": "from shop.prices import (\n    LEAST,  # (cents)\n)\nimport shop.weights\n",
        "prices.py": "import numpy as np\nfrom .units import CENT\n",
        "units.py": "from shop.prices import LEAST\n",
        "weights.py": "def heavy():\n    from shop.rooms import cellar, Cellar\n",
        "rooms/__init__.py": "",
        "rooms/cellar.py": "from ..stairs import STEPS\n",
        "stairs.py": "STEPS = 12\n",
        "apart/__init__.py": "",
        "unused.py": "from shop.apart import nothing\n",
    }
    root = tmp_path / "shop"
    for name, text in texts.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    return root


def test_digest_covers_what_is_imported_however_far(package: Path) -> None:
    """A module's code is made from all modules it imports from its package, directly or not."""
    reached = Sources(package).reached(package / "loops.py")
    found = sorted(path.relative_to(package).as_posix() for path in reached)
    assert found == [
        "loops.py",
        "prices.py",
        "rooms/__init__.py",
        "rooms/cellar.py",
        "stairs.py",
        "units.py",
        "weights.py",
    ]


def test_digest_follows_a_change_far_away(package: Path) -> None:
    """A constant that changes in any module of these, to one as long, changes the digest."""
    before = Sources(package).digest(package / "loops.py", "numba")
    (package / "stairs.py").write_text("STEPS = 13\n")
    assert Sources(package).digest(package / "loops.py", "numba") != before


def test_digest_is_that_of_its_own_sources_only(package: Path) -> None:
    """A change in a module that a loop does not take from leaves its code as it is."""
    before = Sources(package).digest(package / "loops.py", "numba")
    (package / "unused.py").write_text("")
    assert Sources(package).digest(package / "loops.py", "numba") == before


def test_digest_depends_on_the_compiler(package: Path) -> None:
    """Another version of what compiles the loops gives another digest."""
    sources = Sources(package)
    assert sources.digest(package / "loops.py", "1") != sources.digest(package / "loops.py", "2")


def test_a_part_may_be_passed_over(package: Path) -> None:
    """What is set apart is not followed, whoever imports it."""
    sources = Sources(package, apart="apart")
    assert sources.reached(package / "unused.py") == {package / "unused.py"}
