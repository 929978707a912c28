"""What a Eureka server tells of itself: its status page and the overrides it knows."""

import os
import resource
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from breakwater.registry.eureka.asking import form_of, respond
from breakwater.registry.eureka.forms import Answer
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceInfo, LeaseInfo, Port

_ROOT: Final = "com.netflix.eureka.util.StatusInfo"
_KIB_PER_MIB: Final = 1 << 10


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """Another registry that this one keeps in step with, and whether it answers."""

    url: str
    is_available: bool


class ServerPages:
    """The pages under `status` and `serverinfo`."""

    def __init__(self, registry: Registry, replicas: Callable[[], Sequence[Replica]]) -> None:
        self._registry = registry
        self._replicas = replicas
        self._began_s = registry.clock.monotonic_s()

    async def status(self, request: Request) -> Response:
        """The state of this server in Eureka's words, with Eureka's own figures beside it."""
        codec = form_of(request).codec
        groups = {"generalStats": self._general(), "applicationStats": self._application()}
        body = codec.status(_ROOT, groups, _own_info(request))
        return respond(Answer(body=body, media_type=codec.media_type))

    async def overrides(self, _: Request) -> Response:
        """Every override by the id of its instance; JSON to everybody, as in Eureka."""
        body = msgspec.json.encode(self._registry.overrides())
        return Response(body, media_type="application/json")

    def _general(self) -> dict[str, str]:
        up_s = self._registry.clock.monotonic_s() - self._began_s
        days, minutes = divmod(int(up_s // 60), 1_440)
        since = f"{days} day{'s' if days > 1 else ''} " if days else ""
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _KIB_PER_MIB
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _KIB_PER_MIB**2
        return {
            "environment": "breakwater",
            "num-of-cpus": str(os.cpu_count() or 1),
            "total-avail-memory": f"{total}mb",
            "current-memory-usage": f"{used}mb ({100 * used // max(total, 1)}%)",
            "server-uptime": f"{since}{minutes // 60:02d}:{minutes % 60:02d}",
        }

    def _application(self) -> dict[str, str]:
        replicas = self._replicas()
        classic = self._registry.classic_stats()
        return {
            "registered-replicas": ", ".join(each.url for each in replicas),
            "available-replicas": _listed(replicas, is_available=True),
            "unavailable-replicas": _listed(replicas, is_available=False),
            "expected-clients": str(classic.expected_clients),
            "renews-threshold": str(classic.renewal_threshold_per_min),
            "renews-last-min": str(classic.renewals_last_min),
            "self-preservation": "true" if classic.is_self_preserving else "false",
        }


def _listed(replicas: Sequence[Replica], *, is_available: bool) -> str:
    """Eureka ends every address with a comma."""
    return "".join(f"{each.url}," for each in replicas if each.is_available is is_available)


def _own_info(request: Request) -> InstanceInfo:
    """This server as an instance, under the address it was asked at."""
    host, port = request.url.hostname or "localhost", request.url.port or 80
    return InstanceInfo(
        instance_id=f"{host}:breakwater:{port}",
        host_name=host,
        app="BREAKWATER",
        ip_addr=host,
        port=Port(number=port, is_enabled=True),
        vip_address="breakwater",
        lease=LeaseInfo(),
        is_coordinating_discovery_server=True,
    )
