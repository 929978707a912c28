"""ranker: which titles suit this account, by a model trained when the process starts."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breakwater.reference.accounts import DEFAULT_ACCOUNTS, account_number
from breakwater.reference.allocation import allocate
from breakwater.reference.answers import Json, number
from breakwater.reference.application import Background, World
from breakwater.reference.blending import Ranking
from breakwater.reference.factorization import ModelSettings, train
from breakwater.reference.titles import generate_titles
from breakwater.reference.viewing import generate_viewing
from breakwater.sdk import Service

EXPERIMENT: Final = "ranker-factors"
VARIANTS: Final = {
    "control": ModelSettings(name="als-8", factors=8),
    "damped": ModelSettings(name="als-12-damped", factors=12, damping=0.3),
}
SHARES: Final = {"control": 50.0, "damped": 50.0}


class RankerStats(msgspec.Struct, frozen=True, kw_only=True):
    """Rankings served per cell, and how long training took."""

    served: dict[str, int]
    training_s: float


class RankerService:
    """Serves two variants of the model, each to its half of the accounts."""

    def __init__(self, service: Service, world: World) -> None:
        began_s = world.clock.monotonic_s()
        viewing = generate_viewing(world.seed, generate_titles(world.seed), DEFAULT_ACCOUNTS)
        self._models = {
            cell: train(viewing, settings, world.seed) for cell, settings in VARIANTS.items()
        }
        self._training_s = world.clock.monotonic_s() - began_s
        self._service = service
        self._served = dict.fromkeys(VARIANTS, 0)

    def routes(self) -> Sequence[Route]:
        """rank: the titles for one account."""
        return (Route("/v1/rank/{account}", self._rank, name="rank"),)

    def background(self) -> Sequence[Background]:
        """Nothing."""
        return ()

    def stats(self) -> RankerStats:
        """Rankings served per cell, and how long training took."""
        return RankerStats(served=dict(self._served), training_s=self._training_s)

    async def _rank(self, request: Request) -> Response:
        account = request.path_params["account"]
        cell = allocate(account, EXPERIMENT, SHARES)
        model = self._models[cell]
        known = account_number(account)
        row = known - 1 if known and known <= len(model.accounts) else None
        scores = model.rank(row, number(request, "limit", 150, highest=500))
        self._served[cell] += 1
        self._service.counter("ranker.served", cell=cell).increment()
        return Json(Ranking(cell=cell, model=model.settings.name, scores=dict(scores)))
