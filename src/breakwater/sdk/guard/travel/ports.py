"""A command as the modules beneath it see it: the roads, blocks and streams that are made of it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from breakwater.sdk.guard.config import CommandConfig
from breakwater.sdk.guard.counting.statistics import Statistics
from breakwater.sdk.guard.limiting.bulkhead import Bulkhead
from breakwater.sdk.guard.travel.journey import CallOptions, Journey
from breakwater.sdk.guard.travel.lane import Lane
from breakwater.sdk.guard.travel.parts import Parts
from breakwater.sdk.guard.travel.shared import Shared


class Subject(Protocol):
    """What roads read of it, and what they call when they cannot go on; see `Roads`."""

    name: str
    group: str
    dependency: str
    lane: Lane
    bulkhead: Bulkhead
    statistics: Statistics
    parts: Parts
    now_s: Callable[[], float]
    is_timed: bool

    @property
    def sleep(self) -> Callable[[float], None]:
        """How a sync call waits."""
        ...

    def journey(
        self,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        start_s: float | None = None,
        options: CallOptions = ...,
    ) -> Journey:
        """A call that begins on the general road."""
        ...

    def detour_sync(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Another road."""
        ...

    async def detour_async(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Another road."""
        ...

    def resume_sync(
        self,
        journey: Journey,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The general road, from the failure of the first attempt on."""
        ...

    async def resume_async(
        self,
        journey: Journey,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The general road, from the failure of the first attempt on."""
        ...

    def failed_fast(  # noqa: PLR0917 - see `Roads`
        self,
        error: BaseException,
        permit: Any,
        start_s: float,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Journey | None:
        """Book a first attempt that failed on a fast road."""
        ...

    def succeeded_fast(self, permit: Any, took_s: float, end_s: float) -> None:
        """A success that is more than an entry in a list."""
        ...

    def late_fast(
        self,
        permit: Any,
        start_s: float,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        was_cut_short: bool,
    ) -> None:
        """An answer that came after its time was up."""
        ...


class Whole(Subject, Protocol):
    """A command with its public side, for what is made of both."""

    collapsers: tuple[Any, ...]

    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Decorate a function."""
        ...

    @property
    def config(self) -> CommandConfig:
        """What it goes by."""
        ...


class Registry(Protocol):
    """Where a command is entered when it is made; see `Guards`."""

    shared: Shared

    def admit(self, command: Any, config: CommandConfig) -> None:
        """Enter it, and let it go by what is said of it."""
        ...

    def __contains__(self, name: str) -> bool:
        """Whether there is a command of this name."""
        ...

    def command(
        self,
        name: str,
        config: CommandConfig | None = None,
        *,
        replace: bool = False,
        **given: Any,
    ) -> Any:
        """A new command of this registry."""
        ...

    def configure(self, name: str, config: CommandConfig) -> None:
        """Give a command another configuration."""
        ...

    def reconfigure(self, command: Any, config: CommandConfig) -> None:
        """As `configure`, of a command that may have been replaced."""
        ...

    def forget(self, name: str) -> None:
        """Take a command out."""
        ...
