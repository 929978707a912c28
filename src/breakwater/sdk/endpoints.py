"""What a request is for, said in few words: endpoint names of bounded number.

A raw path would give every user id a time series of its own. An endpoint is the path's shape:
segments that look like words stay, everything else becomes `~`, and the number of shapes has
an upper limit. `/v1/profiles/7f3a/lists` is `v1.profiles.~.lists`.
"""

import re
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from breakwater.model import sanitize

MAX_ENDPOINTS: Final = 100
OTHER: Final = "other"
_WORD: Final = re.compile(r"v\d{1,2}|[A-Za-z][A-Za-z_]{0,23}(?:[.-][A-Za-z_]{1,12})*")
_PARAMETER: Final = re.compile(r"\{([^}:]*)[^}]*\}")
_MAX_SEGMENTS: Final = 8
_MAX_NAME: Final = 120
MAX_TEMPLATES: Final = 1_000


class Endpoints:
    """Learns the shapes of the paths it is shown, up to `limit`; later ones are `other`.

    Costs one dictionary look-up for a path seen before; paths are remembered up to 20 x `limit`.
    """

    def __init__(self, limit: int = MAX_ENDPOINTS) -> None:
        self._limit = limit
        self._shapes: set[str] = set()
        self._by_path: dict[str, str] = {}

    def name(self, path: str) -> str:
        """The endpoint of `path`; learns it if it is new and there is room."""
        known = self._by_path.get(path)
        if known is not None:
            return known
        shape = shape_of(path)
        if shape not in self._shapes:
            if len(self._shapes) >= self._limit:
                return OTHER
            self._shapes.add(shape)
        if len(self._by_path) < 20 * self._limit:
            self._by_path[path] = shape
        return shape

    def peek(self, path: str) -> str:
        """The endpoint of `path` without learning it: `other` if its shape was not seen before."""
        known = self._by_path.get(path)
        if known is not None:
            return known
        shape = shape_of(path)
        return shape if shape in self._shapes else OTHER


class Labels:
    """Names that are shapes already (methods, tables, tasks): the first `limit`, later `other`."""

    def __init__(self, limit: int = MAX_ENDPOINTS) -> None:
        self._limit = limit
        self._known: dict[str, str] = {}

    def name(self, text: str) -> str:
        """The endpoint that `text` names, as far as there is room for one more."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= self._limit:
                return OTHER
            known = self._known[text] = sanitize(text)[:_MAX_NAME] or "root"
        return known


class RequestNames:
    """Endpoint names of the requests of one ASGI application, the same for records and faults.

    chosen: the user's own naming from the scope, if any. Else the route template that the
    framework leaves in the scope; a template is remembered, so that from its second request on
    it is known before routing. Else the shape of the path.
    """

    def __init__(
        self, endpoints: Endpoints, chosen: Callable[[MutableMapping[str, Any]], str] | None
    ) -> None:
        self._endpoints = endpoints
        self._chosen = chosen
        self._templates: dict[str, tuple[str, re.Pattern[str]]] = {}
        self.failures = 0

    def before(self, scope: MutableMapping[str, Any]) -> str:
        """The endpoint as far as it is known before the application has routed the request."""
        if self._chosen is not None:
            return self._ask(self._chosen, scope)
        return self._by_template(scope["path"]) or self._endpoints.peek(scope["path"])

    def after(self, scope: MutableMapping[str, Any], code: int | None) -> str:
        """The endpoint for the record; a path that was not found teaches nothing."""
        if self._chosen is not None:
            return self._ask(self._chosen, scope)
        template = getattr(scope.get("route"), "path", None)
        if not isinstance(template, str):  # no framework, or answered before it was asked
            path = scope["path"]
            name = self._endpoints.peek if code == 404 else self._endpoints.name
            return self._by_template(path) or name(path)
        known = self._templates.get(template)
        if known is None:
            known = (template_name(template), _pattern(template))
            if len(self._templates) < MAX_TEMPLATES:
                self._templates[template] = known
        return known[0]

    def _by_template(self, path: str) -> str:
        for name, pattern in self._templates.values():
            if pattern.fullmatch(path):
                return name
        return ""

    def _ask(
        self,
        chosen: Callable[[MutableMapping[str, Any]], str],
        scope: MutableMapping[str, Any],
    ) -> str:
        try:
            return chosen(scope)
        except Exception:  # noqa: BLE001 - a name that cannot be found must not fail the request
            self.failures += 1
            return OTHER


def shape_of(path: str) -> str:
    """The path with everything that may be an identifier replaced by `~`, joined by dots."""
    segments = [segment for segment in path.partition("?")[0].split("/") if segment]
    words = [s if _WORD.fullmatch(s) else "~" for s in segments[:_MAX_SEGMENTS]]
    return ".".join(words) or "root"


def template_name(template: str) -> str:
    """An endpoint from a framework's route template: `/v1/titles/{id:int}` is `v1.titles.~id`."""
    text = _PARAMETER.sub(r"~\1", template).strip("/").replace("/", ".")
    return sanitize(text)[:_MAX_NAME] or "root"


def _pattern(template: str) -> re.Pattern[str]:
    """What the paths of a route template look like."""
    parts = _PARAMETER.split(template)  # text, parameter, text, parameter, ..., text
    found = _PARAMETER.finditer(template)
    wild = [".+" if ":path}" in match[0] else "[^/]+" for match in found]
    pattern = "".join(
        re.escape(text) + (wild[index] if index < len(wild) else "")
        for index, text in enumerate(parts[::2])
    )
    return re.compile(pattern)
