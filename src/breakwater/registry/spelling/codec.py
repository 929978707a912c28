"""What is alike in both spellings of a document: how it is taken apart and put together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from breakwater.registry.instance_info import InstanceInfo
from breakwater.registry.spelling.document import (
    Applications,
    read_application,
    read_applications,
    read_instance,
)
from breakwater.registry.spelling.fields import Document


class Codec(ABC):
    """Reads and writes documents; written fragments can be kept and joined into larger answers.

    between: what stands between two instances, and between two applications. closing: what comes
    after the instances of one application; ending: after all applications of a list.
    """

    between: ClassVar[bytes]
    closing: ClassVar[bytes]
    ending: ClassVar[bytes]

    @abstractmethod
    def parsed(self, body: bytes, name: str) -> Document:
        """What `body` says under the root `name`; raises InvalidInstanceError."""

    @abstractmethod
    def opening(self, name: str) -> bytes:
        """What comes before the instances of one application inside a list."""

    @abstractmethod
    def heading(self, version: str, hash_code: str) -> bytes:
        """What comes before all applications of a list."""

    def read_instance(self, body: bytes) -> InstanceInfo:
        """The instance in `body`."""
        return read_instance(self.parsed(body, "instance"))

    def read_application(self, body: bytes) -> list[InstanceInfo]:
        """The instances of the application in `body`."""
        return read_application(self.parsed(body, "application"))

    def read_applications(self, body: bytes) -> Applications:
        """Every instance in `body`, whole list or delta."""
        return read_applications(self.parsed(body, "applications"))

    def applications(
        self, version: str, hash_code: str, apps: Iterable[tuple[str, Iterable[bytes]]]
    ) -> bytes:
        """The answer for many applications: a whole list, a delta, or those behind an address."""
        members = self.between.join(self.member(name, fragments) for name, fragments in apps)
        return b"%b%b%b" % (self.heading(version, hash_code), members, self.ending)

    def member(self, name: str, fragments: Iterable[bytes]) -> bytes:
        """One application as it stands inside a list."""
        return b"%b%b%b" % (self.opening(name), self.between.join(fragments), self.closing)
