"""Acts over HTTP.

GET    /api/v1/registry/acts        ?service=&all=true, the acts in force, or the ended ones too
POST   /api/v1/registry/acts        a NewAct; 201 and the act, 200 where it is in force already
DELETE /api/v1/registry/acts/{id}   undo one; ?actor= says who
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breakwater.registry.acting.acts import ActList, NewAct
from breakwater.registry.acting.book import ActBook
from breakwater.registry.errors import InvalidActError
from breakwater.registry.refusals import status_of
from breakwater.web import CALLER, answering_errors, bounded_body, flag, json_answer

PATH: Final = "/api/v1/registry/acts"
_MAX_BODY_BYTES: Final = 16_384
_decode: Final = msgspec.json.Decoder(NewAct).decode


class ActEndpoints:
    """What operators ask for, and what is in force."""

    def __init__(self, book: ActBook) -> None:
        self._book = book

    def routes(self) -> list[BaseRoute]:
        """Every route of the acts."""
        table = [
            ("GET", PATH, self.acts),
            ("POST", PATH, self.act),
            ("DELETE", f"{PATH}/{{id}}", self.undo),
        ]
        return [
            Route(path, answering_errors(endpoint, status_of), methods=[method])
            for method, path, endpoint in table
        ]

    async def acts(self, request: Request) -> Response:
        """The acts, the newest first."""
        service = request.query_params.get("service") or None
        found = self._book.acts(service, is_ended_too=flag(request, "all"))
        return json_answer(ActList(acts=found))

    async def act(self, request: Request) -> Response:
        """Carry one out."""
        body = await bounded_body(request, _MAX_BODY_BYTES)
        try:
            wanted = _decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidActError(f"the body is not an act: {error}") from None
        act, is_new = await self._book.carry_out(wanted)
        return json_answer(act, 201 if is_new else 200)

    async def undo(self, request: Request) -> Response:
        """Take one back."""
        actor = request.query_params.get("actor") or request.scope.get(CALLER) or "operator"
        return json_answer(await self._book.undo(request.path_params["id"], actor=actor))
