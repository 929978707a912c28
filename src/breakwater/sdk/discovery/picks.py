"""One choice of an instance, from when it was made until the call has ended."""

from typing import TYPE_CHECKING, Protocol

from breakwater.model import Instance
from breakwater.sdk.discovery.evidence import Evidence

if TYPE_CHECKING:
    from breakwater.sdk.discovery.node import Node


class Books(Protocol):
    """Where the end of a call is noted; `breakwater.sdk.discovery.callee.Callee`."""

    def settle(self, pick: "Pick", evidence: Evidence) -> None:
        """One call ended."""
        ...


class Pick:
    """Where one call goes. It counts as under way there until `settle`, which must follow.

    is_trial: the instance is passed over, and this one call is to show whether it is well again.
    """

    __slots__ = ("_books", "epoch", "instance", "is_open", "is_trial", "node")

    def __init__(self, books: Books, node: "Node", is_trial: bool) -> None:  # noqa: FBT001 - by place, for speed
        self._books = books
        self.node = node
        self.epoch = node.epoch
        self.is_trial = is_trial
        self.instance: Instance = node.instance
        self.is_open = True

    def settle(self, evidence: Evidence = Evidence.NOTHING) -> None:
        """The call ended, in whatever way; only the first time counts. Safe from any thread."""
        self._books.settle(self, evidence)
