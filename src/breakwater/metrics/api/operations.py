"""What the routes of metrics take and answer."""

from typing import Annotated, Any, Final, Literal

import msgspec

from breakwater.metrics.api.axes import AXIS_NAMES
from breakwater.metrics.api.cardinality import MOST_LISTED
from breakwater.metrics.api.expr import Explained
from breakwater.metrics.api.parameters import FORMATS
from breakwater.metrics.api.tags import MOST_TAGS, NEXT_OFFSET, TagCount
from breakwater.metrics.archive.archive import ArchiveView
from breakwater.metrics.language.completion import WordEntry
from breakwater.metrics.language.trace import Step
from breakwater.metrics.language.vocabulary import FAMILIES
from breakwater.metrics.limits.cardinality import Cardinality
from breakwater.web import JSON, TEXT, Operation, Parameter, Reply, ok, path_parameter

_PROGRAM: Final = Parameter(
    name="q",
    summary="a program of the stack language",
    is_required=True,
    example="name,requests,:eq,(,nf.app,),:by",
)
_QUERY: Final = Parameter(
    name="q", summary="only series that this query matches", example="nf.app,www,:eq"
)
_GRAPH: Final = {
    "s": "start of the window, e-3h by default",
    "e": "its end, now by default",
    "tz": "time zones, the first of which governs dates; UTC by default",
    "step": "distance of two points, such as 1m",
    "w": "width in pixels",
    "h": "height in pixels",
    "title": "of the graph",
    "no_legend": "1 for no legend",
    "no_legend_stats": "1 for a legend without numbers",
    "axis_per_line": "1 for an axis for each line",
    "only_graph": "1 for nothing but the lines",
    "vision": "colours as somebody sees them who does not see all of them",
    "theme": "light or dark",
    "palette": "colours of the lines; with .0 to .9 appended, of those of one axis",
    "layout": "what the size means: canvas, image, iw or ih",
    "zoom": "factor of the whole picture",
    "hints": "for those who draw v2.json; no-image leaves the picture out",
    "cq": "a query that is added to every query of the program",
    "features": "stable or unstable",
    "id": "who asks, by their own account",
    "changes": "which changes of the journal are drawn: all, none, or kinds",
}
_AXIS_SUMMARY: Final = "of all axes; with .0 to .9 appended, of one"


def operations() -> list[Operation]:
    """The routes of metrics in words."""
    return [
        _graph(),
        _fetch(),
        *_tags(),
        _cardinality(),
        *_archive(),
        *_expressions(),
        _words(),
    ]


def _graph_parameters() -> tuple[Parameter, ...]:
    return (
        _PROGRAM,
        *(
            Parameter(name=name, summary=summary, is_repeated=name == "tz")
            for name, summary in _GRAPH.items()
        ),
        *(
            Parameter(name=name, summary=_AXIS_SUMMARY)
            for name in sorted(AXIS_NAMES)
            if name not in _GRAPH
        ),
    )


def _graph() -> Operation:
    form = Parameter(
        name="format",
        summary="of the answer; png by default, std.json for who accepts JSON only",
        type=Literal[tuple(FORMATS)],
    )
    media = ("image/png", "image/svg+xml", "text/csv", TEXT, JSON)
    return Operation(
        method="GET",
        path="/api/v1/graph",
        summary="A program as a picture or as numbers",
        tag="metrics",
        parameters=(*_graph_parameters(), form),
        replies=(
            Reply(
                status=200,
                summary="the graph; to a browser, an error as a picture, too",
                media=media,
                headers=("x-breakwater-cost",),
            ),
        ),
    )


def _fetch() -> Operation:
    return Operation(
        method="GET",
        path="/api/v2/fetch",
        summary="A graph as server-sent events, a stretch of time after the other",
        tag="metrics",
        parameters=_graph_parameters(),
        replies=(ok(None, "the events, ending with one of type close", "text/event-stream"),),
    )


def _tags() -> list[Operation]:
    paging = (
        _QUERY,
        Parameter(
            name="limit",
            summary="how many at most",
            type=Annotated[int, msgspec.Meta(ge=1, le=MOST_TAGS)],
        ),
        Parameter(name="offset", summary=f"where to go on: {NEXT_OFFSET} of the page before"),
        Parameter(name="format", summary="json by default", type=Literal["json", "txt"]),
    )
    verbose = Parameter(name="verbose", summary="1 to count the series", type=Literal["0", "1"])
    shared: dict[str, Any] = {"method": "GET", "tag": "metrics"}  # Any: fields of the record
    return [
        Operation(
            **shared,
            path="/api/v1/tags",
            summary="Tag keys in use, sorted",
            parameters=paging,
            replies=(_page(list[str]),),
        ),
        Operation(
            **shared,
            path="/api/v1/tags/{key}",
            summary="Values of a tag key in use, sorted",
            parameters=(path_parameter("key", "the key"), *paging, verbose),
            replies=(_page(list[str | TagCount]),),
        ),
    ]


def _cardinality() -> Operation:
    limit = Parameter(
        name="limit",
        summary="entries of each list at most, 100 by default",
        type=Annotated[int, msgspec.Meta(ge=1, le=MOST_LISTED)],
    )
    return Operation(
        method="GET",
        path="/api/v1/cardinality",
        summary="Where the series come from, how they come and go, and which limits were met",
        tag="metrics",
        parameters=(limit,),
        replies=(ok(Cardinality, "what there is now"),),
    )


def _archive() -> list[Operation]:
    view = ok(ArchiveView, "the archive as it is now")
    return [
        Operation(
            method="GET",
            path="/api/v1/archive",
            summary="Which old metrics are archived, and what is still to be",
            tag="metrics",
            replies=(view,),
        ),
        Operation(
            method="POST",
            path="/api/v1/archive",
            summary="Archive now what is ready",
            tag="metrics",
            replies=(msgspec.structs.replace(view, summary="it has begun"),),
        ),
    ]


def _page(kind: Any) -> Reply:  # Any: a type msgspec has a schema for
    return Reply(
        status=200, summary="one page", type=kind, media=(JSON, TEXT), headers=(NEXT_OFFSET,)
    )


def _expressions() -> list[Operation]:
    vocabulary = _vocabulary()
    keys = Parameter(name="k", summary="keys without conditions on them", is_repeated=True)
    families = Parameter(
        name="r",
        summary="families whose words are taken out",
        type=Literal["stateful", "filter", "style"],
        is_repeated=True,
    )
    start = msgspec.structs.replace(_PROGRAM, is_required=False, summary="how it begins")
    table: list[tuple[str, str, Any, tuple[Parameter, ...]]] = [
        ("", "The stack at every step of a program", list[Step], (_PROGRAM,)),
        ("/debug", "The stack at every step of a program", list[Step], (_PROGRAM,)),
        ("/normalize", "The form that equal programs share", list[str], (_PROGRAM,)),
        ("/complete", "Words that could come next", list[WordEntry], (start,)),
        ("/queries", "The queries a program reads, each once", list[str], (_PROGRAM,)),
        ("/rewrite", "A program with lists of offsets written out", list[str], (_PROGRAM,)),
        ("/strip", "A program with less in it", list[str], (_PROGRAM, keys, families)),
        ("/explain", "A program in words, step by step", Explained, (_PROGRAM,)),
        ("/infix", "A program as formulas", list[str], (_PROGRAM,)),
    ]
    return [
        Operation(
            method="GET",
            path=f"/api/v1/expr{path}",
            summary=summary,
            tag="language",
            parameters=(*parameters, vocabulary),
            replies=(ok(kind, "in the order of the program"),),
        )
        for path, summary, kind, parameters in table
    ]


def _words() -> Operation:
    return Operation(
        method="GET",
        path="/api/v1/words",
        summary="Every word of the language and of the site",
        tag="language",
        parameters=(_vocabulary(),),
        replies=(ok(list[WordEntry], "the words, by family and name"),),
    )


def _vocabulary() -> Parameter:
    return Parameter(
        name="vocab",
        summary="only words of this family and those it builds on",
        type=Literal[tuple(FAMILIES)],
    )
