"""Two registries that cannot hear each other for a while, in network namespaces of their own."""

import os
import shutil
from pathlib import Path

import pytest
from benchmarks.partition_drill import SHORT, PartitionDrill, UnsupportedError
from benchmarks.registry_nodes import PLATFORM

pytestmark = pytest.mark.slow


def test_a_partition_loses_nobody_and_heals(tmp_path: Path) -> None:
    """Nobody who lives is ever missing on a side; 30 s after healing both show the same."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the program `ip`")
    try:
        outcome = PartitionDrill(tmp_path, SHORT, PLATFORM).run()
    except UnsupportedError as error:
        pytest.skip(f"no network namespaces here: {error}")
    assert outcome.lost == []
    assert outcome.looks > 10
    assert outcome.equal_after_s <= 30
    assert outcome.gone_after_s <= 30
    assert outcome.left_over == []
