"""What peers ask of a registry, and how it stands with them, over HTTP.

`POST /eureka/v2/peerreplication/batch/` is Eureka's, byte for byte what its servers send each
other; the digest and the copies are between registries of our own kind.
"""

from typing import Final

import anyio.lowlevel
import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from breakwater.model import BreakwaterError
from breakwater.registry.errors import InvalidInstanceError, UnknownInstanceError
from breakwater.registry.peers.batch import read_batch, write_outcomes
from breakwater.registry.peers.digest import (
    VERSION,
    Copies,
    Copy,
    Digest,
    Line,
    Wanted,
    copy_of,
    ends_of,
    lines_of,
)
from breakwater.registry.peers.peering import Peering
from breakwater.registry.refusals import status_of
from breakwater.web import answering_errors, json_answer, unpacked_body

BASES: Final = ("/eureka/v2", "/eureka")
MAX_BATCH_BYTES: Final = 24 << 20
MAX_COPIES: Final = 1_000
_LINES_AT_ONCE: Final = 250


class PeerEndpoints:
    """The routes between registries."""

    def __init__(self, peering: Peering) -> None:
        self._peering = peering

    def routes(self) -> list[BaseRoute]:
        """Every route, Eureka's under both bases."""
        ours = {
            "peers": ("GET", self.peers),
            "digest": ("GET", self.digest),
            "copies": ("POST", self.copies),
        }
        return [
            *(
                Route(
                    f"/api/v1/registry/{name}",
                    answering_errors(endpoint, status_of),
                    methods=[method],
                )
                for name, (method, endpoint) in ours.items()
            ),
            *(
                Route(f"{base}/peerreplication/batch{end}", self.batch, methods=["POST"])
                for base in BASES
                for end in ("/", "")
            ),
        ]

    async def peers(self, _: Request) -> Response:
        """How it stands with every peer."""
        return json_answer(self._peering.view())

    async def batch(self, request: Request) -> Response:
        """Take what a peer passes on."""
        try:
            batch = read_batch(await unpacked_body(request, MAX_BATCH_BYTES))
        except BreakwaterError as error:
            return PlainTextResponse(str(error), status_code=status_of(error))
        outcomes = await self._peering.receive(batch, via=_speaker(request))
        return Response(write_outcomes(outcomes), media_type="application/json")

    async def digest(self, _: Request) -> Response:
        """All that is known, in short; made in small steps, so that no renewal waits for it."""
        peering = self._peering
        peering.marks.forget_all_but(peering.registry)
        lines: list[Line] = []
        for line in lines_of(peering.registry, peering.marks, peering.clock):
            lines.append(line)
            if len(lines) % _LINES_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        return json_answer(
            Digest(
                version=VERSION,
                name=peering.name,
                now_ms=peering.clock.now_ms(),
                instances=lines,
                ended=ends_of(peering.registry, peering.clock),
                acts=peering.acts.parcel(),
                groups=peering.registry.groups.since(),
            )
        )

    async def copies(self, request: Request) -> Response:
        """The whole of some instances."""
        body = await unpacked_body(request, MAX_BATCH_BYTES)
        try:
            asked = msgspec.json.decode(body, type=Wanted)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInstanceError(f"the body must name what is wanted: {error}") from None
        if len(asked.wanted) > MAX_COPIES:
            raise InvalidInstanceError(
                f"{len(asked.wanted)} copies are wanted, at most {MAX_COPIES} may be asked for"
            )
        return json_answer(Copies(copies=self._copies(asked)))

    def _copies(self, asked: Wanted) -> list[Copy]:
        registry, found = self._peering.registry, []
        now_s = self._peering.clock.monotonic_s()
        for app, instance_id in asked.wanted:
            try:
                found.append(copy_of(registry.lease(app, instance_id), now_s=now_s))
            except UnknownInstanceError:
                continue  # it has left since the digest was made
        return found


def _speaker(request: Request) -> str:
    named = request.headers.get("discoveryidentity-id", "")
    return named or (request.client.host if request.client else "a peer")
