"""personalization: the shelves of one viewer's page, by model, features and popularity."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.answers import Json, record, together
from breakwater.reference.application import Background, World
from breakwater.reference.blending import HomeRows, Ranking, blend
from breakwater.reference.edges import client_of
from breakwater.reference.features import AccountFeatures
from breakwater.reference.placement import owner
from breakwater.reference.titles import Library, generate_titles
from breakwater.sdk import CallError, Service


class PersonalizationStats(msgspec.Struct, frozen=True, kw_only=True):
    """Pages made since the process began, and how many without a model's ranking."""

    pages: int
    unranked: int


class PersonalizationService:
    """Asks features, ranker and catalogue side by side, and does without any that fails."""

    def __init__(self, service: Service, world: World) -> None:
        self._service = service
        self._features = client_of(service, "features")
        self._ranker = client_of(service, "ranker")
        self._catalogue = client_of(service, "catalogue")
        self._shipped = Library(generate_titles(world.seed))
        self._pages = self._unranked = 0

    def routes(self) -> Sequence[Route]:
        """rows: the shelves for one account."""
        return (Route("/v1/rows/{account}", self._rows, name="rows"),)

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> PersonalizationStats:
        """Pages made since the process began."""
        return PersonalizationStats(pages=self._pages, unranked=self._unranked)

    async def _rows(self, request: Request) -> Response:
        account = request.path_params["account"]
        region = request.query_params.get("region", "eu")
        rating = request.query_params.get("rating", "all")
        candidates, ranking, features = await together(
            self._allowed(region, rating), self._ranking(account), self._affinity(account)
        )
        rows = blend(candidates, ranking.scores, features.affinity, features.trending)
        self._pages += 1
        self._unranked += not ranking.scores
        return Json(HomeRows(rows=rows, cell=ranking.cell))

    async def _allowed(self, region: str, rating: str) -> list[str]:
        """Titles that may be shown, else the last such list, else the one shipped with the code."""

        def shipped(error: CallError) -> object:  # noqa: ARG001 - any failure reads the list
            found = self._shipped.candidates(region=region, rating=rating, limit=100)
            return [title.id for title in found]

        reply = await self._catalogue.get(
            f"/v1/candidates?region={region}&rating={rating}&limit=100",
            endpoint="candidates",
            fallback=shipped,
        )
        return record(reply, list[str])

    async def _ranking(self, account: str) -> Ranking:
        def unranked(error: CallError) -> object:  # noqa: ARG001 - any failure means popularity
            return Ranking(cell="none", model="popularity", scores={})

        reply = await self._ranker.get(
            f"/v1/rank/{account}?limit=150", endpoint="rank", fallback=unranked
        )
        return record(reply, Ranking)

    async def _affinity(self, account: str) -> AccountFeatures:
        def neutral(error: CallError) -> object:  # noqa: ARG001 - any failure means neutral
            return AccountFeatures(account=account)

        instances = (instance.instance_id for instance in self._service.instances("features"))
        reply = await self._features.get(
            f"/v1/features/{account}",
            endpoint="features",
            instance=owner(account, instances),
            fallback=neutral,
        )
        return record(reply, AccountFeatures)
