"""Feeding the display from the platform's own graphs while a drill runs."""

from typing import Final

import anyio

from breakwater.drill.display import Display
from breakwater.drill.errors import StageError
from breakwater.drill.stage import Stage
from breakwater.model import Clock

_EDGE: Final = (
    "name,ipc.client.call,:eq,ipc.client.app,player,:eq,:and,ipc.server.app,gateway,:eq,:and"
)
SERIES: Final = (
    ("stream starts", "name,stream.starts,:eq,result,success,:eq,:and,:sum", "/s", 1.0),
    ("edge requests", f"{_EDGE},statistic,count,:eq,:and,:sum", "/s", 1.0),
    ("edge latency", f"{_EDGE},:dist-avg", "ms", 1000.0),
    (
        "failed calls",
        "name,ipc.client.call,:eq,statistic,count,:eq,:and,ipc.result,failure,:eq,:and,:sum",
        "/s",
        1.0,
    ),
)


async def follow(stage: Stage, display: Display, clock: Clock) -> None:
    """Refresh the pulse once a second until cancelled; a missed beat is shown as it was."""
    while True:
        for name, program, unit, factor in SERIES:
            try:
                values = await stage.client.line(
                    program, end_ms=clock.now_ms(), seconds=60, step_ms=stage.settings.step_ms
                )
            except StageError as error:
                display.note(f"no pulse: {error}", "yellow")
                break
            display.pulse.set(name, [value * factor for value in values], unit)
        await anyio.sleep(1.0)
