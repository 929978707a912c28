"""An adapter without its library."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ADAPTERS = {
    "aiohttp": "aiohttp", "aiohttp_server": "aiohttp", "aiohttp_session": "aiohttp",
    "celery": "celery", "django": "django", "fastapi": "fastapi", "flask": "flask",
    "grpc": "grpcio", "grpc_aio": "grpcio", "httpx": "httpx", "redis": "redis",
    "requests": "requests", "sqlalchemy": "sqlalchemy",
}  # fmt: skip
PROGRAM = """
import importlib, sys
adapters = dict(pair.split("=") for pair in sys.argv[1].split())
imported = {"grpcio": "grpc"}
missing = {imported.get(one, one) for one in adapters.values()} | {"asgiref"}

class NothingThere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NothingThere())
import breakwater.sdk
for adapter, library in adapters.items():
    try:
        importlib.import_module(f"breakwater.sdk.{adapter}")
    except ModuleNotFoundError as error:
        assert f"pip install {library}" in str(error), (adapter, str(error))
    else:
        raise AssertionError(adapter)
"""


@pytest.mark.slow
def test_an_adapter_says_what_to_install() -> None:
    """The import of an adapter whose library is missing names it as pip knows it."""
    told = " ".join(f"{adapter}={library}" for adapter, library in ADAPTERS.items())
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, told], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_each_library_is_an_extra() -> None:
    """What an adapter is for can be installed beside the SDK, as `breakwater[flask]`."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = {
        name: [re.split(r"[><=\[]", each)[0] for each in wanted]
        for name, wanted in project["optional-dependencies"].items()
    }
    for library in set(ADAPTERS.values()):
        assert extras[library.removesuffix("io")] == [library]
