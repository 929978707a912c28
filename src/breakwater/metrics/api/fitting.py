"""The step of a graph whose window reaches back to where datapoints are kept coarser."""

from typing import Final

import msgspec
from starlette.requests import Request

from breakwater.metrics.api.parameters import GraphParameters
from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.engine import MetricsEngine

_SOON_READ: Final = 512
"""Characters of a program that is read at once; longer ones take their turn."""


async def fitted(
    engine: MetricsEngine, queue: QueryQueue, request: Request, asked: GraphParameters
) -> GraphParameters:
    """What was asked, with a step that older data have too, and a notice where it is another.

    Raises QueryError when the program cannot be read.
    """

    def fit() -> tuple[int, list[str]]:
        return engine.fitted_step(
            asked.question, start_ms=asked.start_ms, end_ms=asked.end_ms, step_ms=asked.step_ms
        )

    if len(asked.question.text) <= _SOON_READ:
        step_ms, remarks = fit()
    else:
        step_ms, remarks = await queue.run(lambda _: fit(), request=request)
    if not remarks:
        return asked
    notices = (*asked.notices, *remarks)
    return msgspec.structs.replace(asked, step_ms=step_ms, notices=notices)
