"""What the routes between registries take and answer."""

from breakwater.registry.peers.digest import Copies, Digest, Wanted
from breakwater.registry.peers.endpoints import BASES
from breakwater.registry.peers.peering import PeersView
from breakwater.web import JSON, TEXT, Operation, Reply, ok


def operations() -> list[Operation]:
    """The routes between registries in words."""
    batches = [f"{base}/peerreplication/batch{end}" for base in BASES for end in ("/", "")]
    return [
        Operation(
            method="GET",
            path="/api/v1/registry/peers",
            summary="How it stands with every peer of this registry",
            tag="registry",
            replies=(ok(PeersView, "each link: whether it is up, what waits, what failed"),),
            refusals=(),
        ),
        Operation(
            method="GET",
            path="/api/v1/registry/digest",
            summary="All that is known, in short, for a peer to compare with",
            tag="registry",
            replies=(ok(Digest, "a line for each instance and each recent end"),),
            refusals=(),
        ),
        Operation(
            method="POST",
            path="/api/v1/registry/copies",
            summary="The whole of some instances, for a peer that lacks them",
            tag="registry",
            body=Wanted,
            body_media=(JSON,),
            replies=(ok(Copies, "those that are still there"),),
            refusals=(400, 413),
        ),
        *(_batch(path) for path in batches),
    ]


def _batch(path: str) -> Operation:
    refusals = tuple(
        Reply(status=status, summary=summary, media=(TEXT, JSON))
        for status, summary in ((400, "not a batch"), (413, "too large"))
    )
    return Operation(
        method="POST",
        path=path,
        summary="Take the deeds that a peer passes on",
        tag="eureka",
        body_media=(JSON,),
        replies=(ok(None, "an outcome for each, in order"), *refusals),
        refusals=(),
    )
