"""Speaking HTTP to one peer: short deadlines, bounded answers, one kind of error."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import msgspec

from breakwater.registry.errors import InvalidInstanceError, PeerFailedError
from breakwater.registry.holding.groups import Switch
from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.peers.address import PeerAddress
from breakwater.registry.peers.batch import Outcome, read_outcomes
from breakwater.registry.peers.digest import VERSION, Copies, Copy, Digest, Wanted
from breakwater.registry.spelling.document import read_applications, unwrapped

if TYPE_CHECKING:
    import aiohttp

CONNECT_S: Final = 1.0
READ_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 << 20
COPIES_AT_ONCE: Final = 250
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

T = TypeVar("T")


class PeerWire:
    """One kept connection to a peer; every method raises PeerFailedError."""

    def __init__(
        self, session: "aiohttp.ClientSession", address: PeerAddress, *, name: str
    ) -> None:
        self._session = session
        self._address = address
        self._headers = {
            "accept": "application/json",
            "discoveryidentity-name": "breakwater",
            "discoveryidentity-version": "1",
            "discoveryidentity-id": name,
        }
        if address.authorization:
            self._headers["authorization"] = address.authorization

    async def tell(self, body: bytes) -> list[Outcome]:
        """Send one batch; an outcome for each of its entries."""
        url = f"{self._address.classic}/peerreplication/batch/"
        answer = await self._asked("POST", url, body)
        try:
            return read_outcomes(answer)
        except InvalidInstanceError as error:
            raise PeerFailedError(f"POST {url}: {error}", status=0) from error

    async def switch(self, switch: Switch) -> None:
        """Tell a Eureka server that a group was switched, as its own peers do."""
        value = "ENABLED" if switch.is_enabled else "DISABLED"
        url = f"{self._address.classic}/asg/{quote(switch.name, safe='')}/status?value={value}"
        await self._asked("PUT", url, headers={"x-netflix-discovery-replication": "true"})

    async def digest(self) -> Digest | None:
        """What the peer knows in short; None from a peer that has no digests: a Eureka server."""
        url = f"{self._address.own}/api/v1/registry/digest"
        try:
            answer = await self._asked("GET", url)
        except PeerFailedError as error:
            if error.status in {404, 405}:
                return None
            raise
        digest = _decoded(answer, Digest, url)
        if digest.version != VERSION:
            raise PeerFailedError(
                f"{url}: it speaks version {digest.version} of digests, this registry {VERSION}",
                status=0,
            )
        return digest

    async def copies(self, wanted: list[tuple[str, str]]) -> list[Copy]:
        """The whole of some instances, at most `COPIES_AT_ONCE` of them."""
        url = f"{self._address.own}/api/v1/registry/copies"
        body = msgspec.json.encode(Wanted(wanted=wanted))
        return _decoded(await self._asked("POST", url, body), Copies, url).copies

    async def everything(self) -> list[InstanceInfo]:
        """Every instance of a Eureka server."""
        url = f"{self._address.classic}/apps/"
        answer = await self._asked("GET", url)
        try:
            document = unwrapped(msgspec.json.decode(answer), "applications")
            return read_applications(document).instances
        except (*_UNREADABLE, InvalidInstanceError) as error:
            raise PeerFailedError(f"GET {url}: {error}", status=0) from error

    async def _asked(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        from aiohttp import ClientError  # noqa: PLC0415 - loading it takes a tenth of a second

        headers = {**self._headers, **(headers or {})}
        if body is not None:
            headers = {**headers, "content-type": "application/json"}
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await _bounded(answer)
                status = answer.status
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            raise PeerFailedError(
                f"{method} {url}: {type(error).__name__}: {error}", status=0
            ) from error
        if status != 200:
            said = content[:200].decode(errors="replace")
            raise PeerFailedError(f"{method} {url} answered HTTP {status}: {said}", status=status)
        return content


async def _bounded(answer: "aiohttp.ClientResponse") -> bytes:
    parts = bytearray()
    async for part in answer.content.iter_any():
        parts += part
        if len(parts) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(parts)


def _decoded(answer: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except _UNREADABLE as error:
        raise PeerFailedError(f"{url}: {error}", status=0) from error
