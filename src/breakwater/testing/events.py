"""What guarded calls said of themselves, and assertions on it that show what was said instead."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from breakwater.sdk import Event, EventType, Guards, Kind

_ABSENT: Final = object()


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """An event to come; what is None or not named may be anything. Made by `told`."""

    kind: Kind
    command: str | None = None
    outcome: tuple[EventType, ...] | None = None
    detail: Mapping[str, Any] = {}

    def matches(self, event: Event) -> bool:
        """Whether the event is such a one."""
        return (
            event.kind == self.kind
            and self.command in (None, event.command)
            and self.outcome in (None, event.outcome)
            and all(
                _agrees(wanted, getattr(event, name, _ABSENT))
                for name, wanted in self.detail.items()
            )
        )

    def __str__(self) -> str:
        parts: list[str] = [] if self.command is None else [f"command={self.command}"]
        if self.outcome is not None:
            parts.append(f"outcome={'+'.join(event.name for event in self.outcome)}")
        parts += [f"{name}={value!r}" for name, value in self.detail.items()]
        return " ".join((str(self.kind), *parts))


Wanted = Kind | Expected


def told(
    kind: Kind,
    *,
    command: str | None = None,
    outcome: tuple[EventType, ...] | None = None,
    **detail: Any,
) -> Expected:
    """An event of this kind, with these fields of its class; for an error, its class will do."""
    return Expected(kind=kind, command=command, outcome=outcome, detail=detail)


class EventRecorder:
    """A hook that keeps what it is told: `guards.hooks.add(recorder)`, or `recording(guards)`."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep the event."""
        self._events.append(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """All events, in the order they happened."""
        return tuple(self._events)

    @property
    def kinds(self) -> list[Kind]:
        """Their kinds."""
        return [event.kind for event in self._events]

    def of(self, kind: Kind, *, command: str | None = None) -> list[Event]:
        """Those of one kind, of one command or of all."""
        wanted = told(kind, command=command)
        return [event for event in self._events if wanted.matches(event)]

    def clear(self) -> None:
        """Forget them."""
        self._events.clear()

    def assert_sequence(self, *wanted: Wanted) -> None:
        """Exactly these happened, in this order."""
        expected = [_expected(each) for each in wanted]
        for place, (each, event) in enumerate(zip(expected, self._events, strict=False)):
            if not each.matches(event):
                raise AssertionError(self._told_instead(f"event {place + 1} is not: {each}"))
        if len(self._events) < len(expected):
            missing = expected[len(self._events)]
            raise AssertionError(self._told_instead(f"after the last there is no: {missing}"))
        if len(self._events) > len(expected):
            what = f"there are {len(self._events)} events, wanted {len(expected)}"
            raise AssertionError(self._told_instead(what))

    def assert_in_order(self, *wanted: Wanted) -> None:
        """These happened in this order, whatever happened in between."""
        events = iter(self._events)
        for place, each in enumerate(map(_expected, wanted)):
            if not any(each.matches(event) for event in events):
                after = "" if place == 0 else f" after {_expected(wanted[place - 1])}"
                raise AssertionError(self._told_instead(f"there is no: {each}{after}"))

    def assert_never(self, *unwanted: Wanted) -> None:
        """None of these happened."""
        for each in map(_expected, unwanted):
            for place, event in enumerate(self._events):
                if each.matches(event):
                    raise AssertionError(self._told_instead(f"event {place + 1} is: {each}"))

    def _told_instead(self, what: str) -> str:
        """The complaint, and all events below it."""
        lines = [f"{place:4d}  {_shown(event)}" for place, event in enumerate(self._events, 1)]
        return "\n".join([what, *(lines or ["      no event at all"])])


@contextmanager
def recording(guards: Guards, kinds: Collection[Kind] | None = None) -> Iterator[EventRecorder]:
    """Record within the block what happens to the commands of a registry.

    Who wants to hear of every CALL or ATTEMPT takes all calls off the fast road; they end the
    same, but name the kinds you need when it is the fast road that you test.
    """
    recorder = EventRecorder()
    guards.hooks.add(recorder, kinds)
    try:
        yield recorder
    finally:
        guards.hooks.remove(recorder)


def _expected(wanted: Wanted) -> Expected:
    return wanted if isinstance(wanted, Expected) else told(wanted)


def _agrees(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, type) and issubclass(wanted, BaseException):
        return isinstance(found, wanted) or found is wanted
    return bool(wanted == found)


def _shown(event: Event) -> str:
    return str(
        Expected(
            kind=event.kind,
            command=event.command,
            outcome=event.outcome or None,
            detail=event.details(),
        )
    )
