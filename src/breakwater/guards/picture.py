"""The guarded commands of services as a picture: a tile for each, much as Hystrix drew them."""

from datetime import UTC, datetime
from typing import Final

from breakwater.guards.view import (
    CircuitState,
    CollapserView,
    CommandView,
    GuardView,
    PoolView,
    ServiceGuards,
)
from breakwater.render import (
    Figure,
    ThemeName,
    Tile,
    TileBoard,
    TileSection,
    format_value,
    png,
    tile_board,
)

_WORDS: Final = {
    CircuitState.CLOSED: "closed",
    CircuitState.OPEN: "OPEN",
    CircuitState.MIXED: "open on some",
    CircuitState.FORCED_OPEN: "FORCED OPEN",
    CircuitState.FORCED_CLOSED: "forced closed",
    CircuitState.NONE: "no breaker",
}
_POOR_PERCENT: Final = 10.0
_BAD_PERCENT: Final = 40.0
MOST_TILES: Final = 120
"""Commands that are drawn; the worst ones, should there be more."""


def guards_svg(view: GuardView, theme: ThemeName) -> str:
    """The picture as SVG; what fares worst comes first."""
    everything = [command for service in view.services for command in service.commands]
    busiest = max((command.requests_per_s for command in everything), default=0.0)
    shown = set(map(_identity, sorted(everything, key=_badness)[:MOST_TILES]))
    sections = [
        section for service in view.services for section in _sections(service, busiest, shown)
    ]
    at = datetime.fromtimestamp(view.at_ms / 1000, tz=UTC)
    names = ", ".join(service.service for service in view.services) or "no service"
    left_out = len(everything) - len(shown)
    more = f", {left_out} not drawn" if left_out else ""
    return tile_board(
        TileBoard(
            title=f"Guarded calls of {names}",
            subtitle=f"{len(everything)} commands{more}; disc: calls a second, within the window",
            remark=f"{at:%Y-%m-%d %H:%M:%S} UTC",
            sections=sections,
            theme=theme,
        )
    )


def guards_png(view: GuardView, theme: ThemeName) -> bytes:
    """The picture as PNG."""
    return png(guards_svg(view, theme))


def _identity(command: CommandView) -> tuple[str, str]:
    return (command.service, command.name)


def _badness(command: CommandView) -> tuple[bool, float, float, str]:
    """The worst first: open, then by errors, then by traffic."""
    is_open = command.open_hosts > 0
    return (not is_open, -command.error_percent, -command.requests_per_s, command.name)


def _sections(
    service: ServiceGuards, busiest: float, shown: set[tuple[str, str]]
) -> list[TileSection]:
    commands = [
        _command_tile(command, busiest)
        for command in sorted(service.commands, key=_badness)
        if _identity(command) in shown
    ]
    others = [
        *map(_pool_tile, service.pools),
        *map(_collapser_tile, service.collapsers),
    ]
    sections = [TileSection(title=_heading(service), tiles=commands)]
    if others:
        title = f"{service.service}: thread pools and collapsers"
        sections.append(TileSection(title=title, tiles=others))
    return sections


def _heading(service: ServiceGuards) -> str:
    streaming = sum(each.state == "streaming" for each in service.instances)
    known = len(service.instances) + len(service.left_out)
    return f"{service.service}: {streaming} of {known} instances report"


def _command_tile(command: CommandView, busiest: float) -> Tile:
    refused = sum(
        command.counts.get(name, 0)
        for name in ("ShortCircuited", "SemaphoreRejected", "ThreadPoolRejected")
    )
    figures = [
        _count("success", command.counts.get("Success", 0), "good"),
        _count("failed", command.counts.get("Failure", 0), "danger"),
        _count("timed out", command.counts.get("Timeout", 0), "warning"),
        _count("refused", refused, "warning"),
        _count("fallback", command.counts.get("FallbackSuccess", 0), None),
        Figure(label="in flight", value=f"{command.in_flight} (most {command.most_in_flight})"),
        Figure(label="mean", value=f"{command.latency_mean_ms:.0f} ms"),
        Figure(label="p90", value=f"{command.latency_ms.get('90', 0.0):.0f} ms"),
        Figure(label="median", value=f"{command.latency_ms.get('50', 0.0):.0f} ms"),
        Figure(label="p99", value=f"{command.latency_ms.get('99', 0.0):.0f} ms"),
    ]
    rate = format_value(command.requests_per_s, "number")
    hosts = "host" if command.hosts == 1 else "hosts"
    return Tile(
        title=command.name,
        size=command.requests_per_s / busiest if busiest else 0.0,
        colour=_colour(command),
        state=_state(command),
        headline=f"{command.error_percent:.0f} %",
        below=f"errors, {rate} calls/s",
        detail=f"{command.hosts} {hosts}, group {command.group}",
        figures=figures,
    )


def _state(command: CommandView) -> str:
    if command.state is CircuitState.MIXED:
        return f"open on {command.open_hosts} of {command.hosts}"
    return _WORDS[command.state]


def _colour(command: CommandView) -> str:
    if command.open_hosts or command.error_percent >= _BAD_PERCENT:
        return "danger"
    if command.error_percent >= _POOR_PERCENT:
        return "warning"
    return "good" if command.requests else "neutral"


def _count(label: str, count: int, colour: str | None) -> Figure:
    return Figure(label=label, value=f"{count:,}", colour=colour if count else None)


def _pool_tile(pool: PoolView) -> Tile:
    share = pool.active / pool.core if pool.core else 0.0
    return Tile(
        title=pool.name,
        size=share,
        colour="danger" if pool.rejected else "warning" if pool.queue else "good",
        state="thread pool",
        headline=f"{pool.active} of {pool.core}",
        below="threads at work",
        detail=f"{pool.hosts} {'host' if pool.hosts == 1 else 'hosts'}",
        figures=[
            _count("executed", pool.executed, None),
            _count("rejected", pool.rejected, "danger"),
            Figure(label="queue", value=f"{pool.queue} of {pool.queue_limit}"),
            Figure(label="most", value=f"{pool.most_active}"),
        ],
    )


def _collapser_tile(collapser: CollapserView) -> Tile:
    return Tile(
        title=collapser.name,
        size=min(collapser.batch_size / 10.0, 1.0),
        colour="good" if collapser.batches else "neutral",
        state="collapser",
        headline=f"{collapser.batch_size:.1f}",
        below="calls in a batch",
        detail=f"{collapser.hosts} {'host' if collapser.hosts == 1 else 'hosts'}",
        figures=[
            _count("calls", collapser.requests, None),
            _count("batches", collapser.batches, None),
            _count("shared", collapser.from_cache, None),
        ],
    )
