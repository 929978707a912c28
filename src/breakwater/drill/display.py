"""What the audience sees during a drill: phases with a stopwatch, and the fleet's pulse."""

from collections.abc import Sequence
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from breakwater.fleet import FleetEvent, FleetEventKind
from breakwater.model import Clock

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 60


class Pulse:
    """The last minute of a few series, as text graphs."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[list[float], str]] = {}

    def set(self, name: str, values: Sequence[float], unit: str) -> None:
        """Replace the series `name`; its last value is printed with `unit`."""
        self._rows[name] = (list(values)[-_WIDTH:], unit)

    def __rich__(self) -> RenderableType:
        """Every series in one row."""
        table = Table.grid(padding=(0, 2))
        for name, (values, unit) in self._rows.items():
            last = values[-1] if values else 0.0
            table.add_row(name, Text(sparkline(values), style="cyan"), f"{last:,.1f} {unit}")
        return table


class Display:
    """Live on a terminal; plain lines, one an event, anywhere else."""

    def __init__(self, console: Console, clock: Clock, title: str) -> None:
        self._console = console
        self._clock = clock
        self._title = title
        self._started_s = clock.monotonic_s()
        self._done: list[tuple[float, str, str]] = []
        self._now = ""
        self._progress = ""
        self._since_s = 0.0
        self._style = ""
        self.pulse = Pulse()
        self._live = Live(
            self, console=console, refresh_per_second=4, transient=False, auto_refresh=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the last state on the screen and stop drawing; may be called twice."""
        self._settle()
        if self._live.is_started:
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """Begin the next phase: what was going on becomes a line of the past."""
        self._settle()
        self._now, self._since_s, self._style = text, self.elapsed_s, style
        if not self._console.is_terminal:
            self._console.print(f"[{self.elapsed_s:6.1f} s] {text}", style=style, highlight=False)

    def note(self, text: str, style: str = "") -> None:
        """A line that happened; what was going on becomes a line of the past before it."""
        self._settle()
        self._done.append((self.elapsed_s, text, style))
        if not self._console.is_terminal:
            self._console.print(f"[{self.elapsed_s:6.1f} s] {text}", style=style, highlight=False)

    def on_fleet(self, event: FleetEvent) -> None:
        """Show the fleet coming up and processes going away unasked."""
        if event.kind is FleetEventKind.READY:
            self._progress = f": {event.ready} of {event.total} ready"
        elif event.kind is FleetEventKind.EXITED and not event.expected:
            self.note(f"{event.name} ended: {event.detail}", "yellow")

    def _settle(self) -> None:
        if self._now:
            self._done.append((self._since_s, self._now, self._style))
        self._now = self._progress = ""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the display was made."""
        return self._clock.monotonic_s() - self._started_s

    def __rich__(self) -> RenderableType:
        """The whole panel."""
        lines: list[RenderableType] = [
            Text(f"{at:6.1f} s  {text}", style=style or "dim")
            for at, text, style in self._done[-14:]
        ]
        if self._now:
            lines.append(
                Text(f"{self._since_s:6.1f} s  {self._now}{self._progress} …", style="bold")
            )
        return Panel(Group(*lines, Text(""), self.pulse), title=self._title, title_align="left")


def sparkline(values: Sequence[float]) -> str:
    """One block character a value, from zero to the largest."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BLOCKS[0] * len(values)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(round(max(value, 0.0) / top * steps), steps)] for value in values)
