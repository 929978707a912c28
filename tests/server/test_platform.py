"""The platform's parts in one process: how they begin and what they give back."""

import socket
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.chaos.chaos_fakes import request

from breakwater.chaos import ChaosSettings
from breakwater.chaos.fault import Fault, FaultState
from breakwater.chaos.ledger import Began, Ledger
from breakwater.ingest import IngestSettings, ListenError
from breakwater.model import SystemClock
from breakwater.server.platform import Platform
from breakwater.server.settings import Settings


@pytest.fixture
def anyio_backend() -> str:
    """What the platform runs on."""
    return "asyncio"


def settings(folder: Path, udp_port: int = 0) -> Settings:
    """A platform with a folder of its own that may break things."""
    return Settings(
        data_dir=str(folder),
        ingest=IngestSettings(port=udp_port),
        chaos=ChaosSettings(leashed=False),
    )


@pytest.mark.slow
@pytest.mark.anyio
async def test_what_a_crash_left_is_undone_before_the_platform_is_used(tmp_path: Path) -> None:
    """Whoever sees the platform ready sees a fleet without the faults of the run before."""
    ledger = Ledger(tmp_path / "undo-ledger.jsonl")
    left = Fault(
        id="f-1",
        state=FaultState.ACTIVE,
        started_ms=1_700_000_000_000,
        ends_ms=1_700_000_060_000,
        request=request("latency"),
        targets=[],
    )
    ledger.append(Began(fault=left, boot="another"))
    ledger.close()
    with capture_logs():
        async with Platform(settings(tmp_path), SystemClock()) as platform:
            assert platform.chaos.find("f-1").state is FaultState.UNDONE
            assert platform.chaos.stats().recovered == 1


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_platform_that_cannot_start_gives_everything_back(tmp_path: Path) -> None:
    """After a taken UDP port the next try finds the ledger and the database free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        asked = settings(tmp_path, taken.getsockname()[1])
        with pytest.raises(ListenError):
            async with Platform(asked, SystemClock()):
                pytest.fail("the port was free after all")
    free = msgspec.structs.replace(asked, ingest=IngestSettings(port=0))
    async with Platform(free, SystemClock()) as platform:
        assert platform.udp.port > 0
