"""What operators did, as far as peers are concerned: a parcel that is passed on unread."""

from typing import Protocol

import msgspec


class Acts(Protocol):
    """The acts of operators in this registry; whoever keeps them merges those of others."""

    @property
    def revision(self) -> int:
        """A number that differs whenever `parcel` would."""
        ...

    def parcel(self) -> msgspec.Raw:
        """Every act that peers have to know, as JSON, those taken back lately among them."""
        ...

    async def take_parcel(self, parcel: msgspec.Raw, *, peer: str) -> None:
        """Merge the acts of a peer; they are not to be passed on as news of our own.

        Raises a BreakwaterError where the parcel cannot be understood; that is counted.
        """
        ...


class NoActs:
    """A registry without acts."""

    revision = 0

    def parcel(self) -> msgspec.Raw:
        """Nothing."""
        return msgspec.Raw(b"null")

    async def take_parcel(self, parcel: msgspec.Raw, *, peer: str) -> None:
        """Nothing is done about the acts of others."""
