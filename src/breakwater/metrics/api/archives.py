"""GET and POST /api/v1/archive: what is archived, and having it done now."""

from starlette.requests import Request
from starlette.responses import Response

from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import ArchiveSettingError
from breakwater.web import json_answer


class ArchiveEndpoint:
    """Shows the archive of an engine, and has it export what is ready."""

    def __init__(self, engine: MetricsEngine) -> None:
        self._engine = engine

    async def show(self, request: Request) -> Response:
        """The archive as it is now."""
        del request
        return json_answer(self._archive().view())

    async def export(self, request: Request) -> Response:
        """Begin to export; how that goes is seen in `show`."""
        del request
        archive = self._archive()
        archive.wake()
        return json_answer(archive.view())

    def _archive(self) -> Archive:
        found = self._engine.archive
        if found is None:
            raise ArchiveSettingError("there is no archive; set metrics.archive.url to have one")
        return found
