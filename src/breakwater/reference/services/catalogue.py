"""catalogue: the titles there are, and which may be shown to whom."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json, number
from breakwater.reference.application import Background, World
from breakwater.reference.errors import MalformedRequestError
from breakwater.reference.titles import Library, generate_titles
from breakwater.sdk import Service

MAX_IDS: Final = 200


class TitleCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows of a title, and where it may be shown."""

    id: str
    name: str
    genres: tuple[str, ...] = ()
    year: int = 0
    rating: str = "all"
    regions: tuple[str, ...] = ()


class CatalogueStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many titles there are."""

    titles: int


class CatalogueService:
    """Answers from a library that never changes while the process lives."""

    def __init__(self, service: Service, world: World) -> None:  # noqa: ARG002 - one shape for all
        self._library = Library(generate_titles(world.seed))

    def routes(self) -> Sequence[Route]:
        """title: everything about one. titles: cards of several. candidates: ids for a viewer."""
        return (
            Route("/v1/titles/{title}", self._title, name="title"),
            Route("/v1/titles", self._titles, name="titles"),
            Route("/v1/candidates", self._candidates, name="candidates"),
        )

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> CatalogueStats:
        """How many titles there are."""
        return CatalogueStats(titles=len(self._library))

    async def _title(self, request: Request) -> Response:
        return Json(self._library.title(request.path_params["title"]))

    async def _titles(self, request: Request) -> Response:
        ids = [i for i in request.query_params.get("ids", "").split(",") if i]
        if not 1 <= len(ids) <= MAX_IDS:
            raise MalformedRequestError(f"'ids' takes 1 to {MAX_IDS} title ids, not {len(ids)}")
        return Json(
            [msgspec.convert(t, TitleCard, from_attributes=True) for t in self._library.select(ids)]
        )

    async def _candidates(self, request: Request) -> Response:
        found = self._library.candidates(
            region=request.query_params.get("region", ""),
            rating=request.query_params.get("rating", "all"),
            limit=number(request, "limit", 100, highest=500),
        )
        return Json([title.id for title in found])
