"""The registry over HTTP: Eureka's protocol, and the view our own SDK waits on."""

from starlette.routing import BaseRoute

from breakwater.registry.acting.endpoints import ActEndpoints
from breakwater.registry.acting.operations import operations as act_operations
from breakwater.registry.directory import Directory
from breakwater.registry.eureka.endpoints import EurekaEndpoints
from breakwater.registry.eureka.operations import operations as eureka_operations
from breakwater.registry.eureka.server_pages import Replica
from breakwater.registry.native.endpoints import NativeEndpoints
from breakwater.registry.native.operations import operations as native_operations
from breakwater.registry.peers.endpoints import PeerEndpoints
from breakwater.registry.peers.operations import operations as peer_operations
from breakwater.web import Operation

__all__ = ["operations", "routes"]


def routes(directory: Directory) -> list[BaseRoute]:
    """Every route of the registry, to be mounted at the root."""
    return [
        *PeerEndpoints(directory.peering).routes(),
        *ActEndpoints(directory.acts).routes(),
        *NativeEndpoints(
            directory.native, directory.judge, directory.recorder, directory.settings
        ).routes(),
        *EurekaEndpoints(
            directory.registry,
            is_ready=lambda: directory.peering.is_ready,
            replicas=lambda: [
                Replica(url=peer.url, is_available=peer.is_up)
                for peer in directory.peering.view().peers
            ],
            settled=directory.settled,
            answers=directory.answers,
            limits=directory.fetch_limits,
        ).routes(),
    ]


def operations() -> list[Operation]:
    """The routes of the registry in words."""
    return [*native_operations(), *act_operations(), *peer_operations(), *eureka_operations()]
