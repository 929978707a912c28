"""What a graph is asked for: every parameter of `/api/v1/graph`, checked.

Names and defaults are those of Atlas, with three differences: times are in UTC unless `tz` says
otherwise; `changes` chooses which changes of the journal are drawn; and who accepts JSON and names
no format gets `std.json`. A step off the grid is rounded up to the next on it. Pictures have at
most one point a pixel, and 1440; a data format keeps the step it was asked for.
"""

import re
from collections.abc import Callable
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request

from breakwater.metrics.api.axes import AXIS_NAMES, MOST_AXES, AxisParameters, read_axis
from breakwater.metrics.api.reading import ParameterReader, misspelt, whole_number
from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.grid.durations import duration_text, parse_duration
from breakwater.metrics.grid.steps import round_step, step_for_width
from breakwater.metrics.language.times import parse_range, zone_named
from breakwater.metrics.programs import Question
from breakwater.model import ChangeKind, Clock
from breakwater.render import Layout, LegendKind, Palette, ThemeName, Vision, find_palette

FormatName = Literal["png", "svg", "csv", "txt", "json", "std.json", "stats.json", "v2.json"]
FORMATS: Final[dict[str, FormatName]] = {
    "png": "png",
    "svg": "svg",
    "csv": "csv",
    "txt": "txt",
    "json": "json",
    "std.json": "std.json",
    "stats.json": "stats.json",
    "v2.json": "v2.json",
}
PICTURES: Final = frozenset(("png", "svg"))
MOST_ZONES: Final = 8
_MOST_KEPT: Final = 512
_LONGEST_KEPT: Final = 2048
"""Query strings that are remembered, and bytes of the longest of them: a few megabytes."""

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class _Lru(Protocol[_T_co]):
    """A function of a query string that remembers."""

    def __call__(self, query: bytes, is_json: bool, /) -> _T_co: ...  # noqa: FBT001

    @property
    def __wrapped__(self) -> Callable[[bytes, bool], _T_co]: ...


_WORDS: Final = (
    "q s e tz step w h title no_legend no_legend_stats axis_per_line only_graph vision theme "
    "palette layout zoom hints cq features id format changes"
)
_NAMES: Final = frozenset(
    (
        *_WORDS.split(),
        *AXIS_NAMES,
        *(f"{name}.{number}" for name in AXIS_NAMES for number in range(MOST_AXES)),
    )
)
_PLAIN_AXES: Final = (AxisParameters(),) * MOST_AXES
_THEMES: Final[dict[str, ThemeName]] = {"light": "light", "dark": "dark"}
_VISIONS: Final[dict[str, Vision]] = {
    "normal": "normal",
    "protanopia": "protanopia",
    "protanomaly": "protanomaly",
    "deuteranopia": "deuteranopia",
    "deuteranomaly": "deuteranomaly",
    "tritanopia": "tritanopia",
    "tritanomaly": "tritanomaly",
    "achromatopsia": "achromatopsia",
    "achromatomaly": "achromatomaly",
}
_LAYOUTS: Final[dict[str, Layout]] = {"canvas": "canvas", "image": "image", "iw": "iw", "ih": "ih"}
_FEATURES: Final = {"stable": "stable", "unstable": "unstable"}
_KINDS: Final = {kind.value: kind for kind in ChangeKind}
_BROWSER: Final = re.compile("mozilla|msie|gecko|chrome|opera|webkit", re.IGNORECASE)
_NOT_IN_ID: Final = re.compile(r"[^-._A-Za-z0-9^~]")


class GraphParameters(msgspec.Struct, frozen=True, kw_only=True):
    """One graph as it was asked for.

    question: program, common query and the time zone of dates. start_ms, end_ms: the window
    (start, end]. zones: time axes, the first of which governs dates. changes: kinds of changes
    to draw. axes: by number, all ten. palette: None for one that suits the number of lines.
    notices: remarks on the parameters. id: who asks, by their own account.
    """

    question: Question
    start_ms: int
    end_ms: int
    step_ms: int
    format: FormatName
    axes: tuple[AxisParameters, ...]
    zones: tuple[str, ...] = ("UTC",)
    width: int = 700
    height: int = 300
    zoom: float = 1.0
    layout: Layout = "canvas"
    title: str = ""
    legend: LegendKind = "full"
    is_axis_per_line: bool = False
    is_only_graph: bool = False
    vision: Vision = "normal"
    theme: ThemeName = "light"
    palette: Palette | None = None
    hints: frozenset[str] = frozenset()
    features: str = "stable"
    id: str = "default"
    changes: frozenset[ChangeKind] = frozenset()
    is_recent: bool = True
    notices: tuple[str, ...] = ()

    @property
    def has_picture(self) -> bool:
        """Whether the answer is, or carries, a picture."""
        return self.format in PICTURES or (
            self.format == "v2.json" and "no-image" not in self.hints
        )


def read_parameters(request: Request, *, primary_ms: int, clock: Clock) -> GraphParameters:
    """Check the parameters of a request; raises InvalidInputError naming the first wrong one."""
    asked = _remembered(_timeless, request)
    timeless = asked.parameters
    now_ms = clock.now_ms()
    start_ms, end_ms = parse_range(asked.start, asked.end, now_ms, asked.zone)
    step_ms, step_remark = _step(asked, end_ms - start_ms, primary_ms)
    return msgspec.structs.replace(
        timeless,
        start_ms=start_ms,
        end_ms=end_ms,
        step_ms=step_ms,
        is_recent=end_ms > now_ms - 3_600_000,
        notices=(*timeless.notices, *step_remark),
    )


def format_of(request: Request) -> FormatName:
    """The format of the answer; raises QueryValueError for one that is not known."""
    return _remembered(_format, request)


class _Timeless(NamedTuple):
    """What a request asks for, but for what depends on the time it comes at."""

    parameters: GraphParameters
    start: str
    end: str
    zone: tzinfo
    step: str
    is_width_given: bool


def _remembered(read: "_Lru[_T]", request: Request) -> _T:
    """What `read` makes of the query string, and of whether JSON is accepted.

    Whoever looks at a graph asks for it again and again: short query strings are read once.
    """
    accepted = request.headers.get("accept", "")
    is_json = "application/json" in accepted and "image/" not in accepted
    query: bytes = request.scope["query_string"]
    return (read if len(query) <= _LONGEST_KEPT else read.__wrapped__)(query, is_json)


@lru_cache(_MOST_KEPT)
def _format(query: bytes, is_json: bool) -> FormatName:  # noqa: FBT001 - a key of the cache
    default = "std.json" if is_json else "png"
    return ParameterReader(QueryParams(query)).choice("format", FORMATS, default)


@lru_cache(_MOST_KEPT)
def _timeless(query: bytes, is_json: bool) -> _Timeless:  # noqa: FBT001 - a key of the cache
    given = QueryParams(query)
    reader = ParameterReader(given)
    text = reader.text("q")
    if not text:
        raise QueryValueError("parameter 'q' is missing; expected a program of the stack language")
    form = _format(query, is_json)
    zones, zone = _zones(reader)
    theme = reader.choice("theme", _THEMES, "light")
    axes, axis_remarks = _axes(reader, theme)
    parameters = GraphParameters(
        question=Question(text, zones[0], reader.text("cq"), has_short_legends=True),
        start_ms=0,
        end_ms=0,
        step_ms=0,
        format=form,
        axes=axes,
        zones=zones,
        width=reader.whole("w", 700, 1, 10_000, " pixels"),
        height=reader.whole("h", 300, 1, 10_000, " pixels"),
        zoom=reader.number("zoom", 1.0, 0.1, 10.0),
        layout=reader.choice("layout", _LAYOUTS, "canvas"),
        title=reader.text("title"),
        legend=_legend(reader),
        is_axis_per_line=reader.flag("axis_per_line"),
        is_only_graph=reader.flag("only_graph"),
        vision=reader.choice("vision", _VISIONS, "normal"),
        theme=theme,
        palette=reader.made(
            "palette", "", lambda name: find_palette(name, theme) if name else None
        ),
        hints=frozenset(filter(None, (hint.strip() for hint in reader.text("hints").split(",")))),
        features=reader.one_of(
            "features", "stable", lambda name: _FEATURES.get(name.lower()), "stable or unstable"
        ),
        id=_NOT_IN_ID.sub("_", reader.text("id", "default")[:80]),
        changes=_changes(reader, form),
        notices=(*misspelt(given.keys(), _NAMES), *axis_remarks),
    )
    start, end = reader.text("s", "e-3h"), reader.text("e", "now")
    return _Timeless(parameters, start, end, zone, reader.text("step"), bool(reader.text("w")))


def is_browser(request: Request) -> bool:
    """Whether a person looks at the answer, who would not see an error behind a picture."""
    return _BROWSER.search(request.headers.get("user-agent", "")) is not None


def _zones(reader: ParameterReader) -> tuple[tuple[str, ...], tzinfo]:
    named = reader.texts("tz") or ["UTC"]
    if len(named) > MOST_ZONES:
        raise QueryValueError(f"{len(named)} time zones are named; at most {MOST_ZONES} can be")
    zones = [zone_named(name) for name in named]
    names = ("UTC" if zone is UTC else name for name, zone in zip(named, zones, strict=True))
    return tuple(dict.fromkeys(names)), zones[0]


def _step(asked: _Timeless, span_ms: int, primary_ms: int) -> tuple[int, list[str]]:
    """The step in milliseconds, and a remark where it is not the one that was asked for."""
    text, form = asked.step, asked.parameters.format
    if not text:
        return step_for_width(primary_ms, asked.parameters.width, span_ms), []
    milliseconds = whole_number(text)
    asked_ms = parse_duration(text) if milliseconds is None else milliseconds
    if asked_ms == 0:
        raise QueryValueError("parameter 'step' is '0'; expected a length of time like 5s, 1m, 1h")
    step_ms = round_step(primary_ms, asked_ms)
    if form in PICTURES or form == "v2.json" or asked.is_width_given:
        step_ms = max(step_ms, step_for_width(primary_ms, asked.parameters.width, span_ms))
    if step_ms == asked_ms:
        return step_ms, []
    return step_ms, [f"the step is {duration_text(step_ms)} instead of {duration_text(asked_ms)}"]


def _legend(reader: ParameterReader) -> LegendKind:
    if reader.flag("no_legend"):
        return "none"
    return "labels" if reader.flag("no_legend_stats") else "full"


def _axes(
    reader: ParameterReader, theme: ThemeName
) -> tuple[tuple[AxisParameters, ...], list[str]]:
    if not any(name.partition(".")[0] in AXIS_NAMES for name in reader.names()):
        return _PLAIN_AXES, []
    found = [read_axis(reader, number, theme) for number in range(MOST_AXES)]
    remarks = dict.fromkeys(remark for _, remarks in found for remark in remarks)
    return tuple(axis for axis, _ in found), list(remarks)


def _changes(reader: ParameterReader, form: FormatName) -> frozenset[ChangeKind]:
    text = reader.text("changes", "all" if form in PICTURES else "none")
    if text in {"all", "none"}:
        return frozenset(ChangeKind) if text == "all" else frozenset()
    words = [word.strip() for word in text.split(",") if word.strip()]
    bad = next((word for word in words if word not in _KINDS), None)
    if bad is not None:
        raise QueryValueError(
            f"parameter 'changes' names '{bad[:40]}'; expected all, none or kinds of changes: "
            f"{', '.join(_KINDS)}"
        )
    return frozenset(_KINDS[word] for word in words)
