"""The dependency graph as sets of names; small enough that plain dictionaries are fastest."""

from collections import defaultdict
from collections.abc import Iterable

from breakwater.topology.window import Edge


class CallGraph:
    """Directed graph of services: an edge points from the caller to the service it calls."""

    def __init__(self, edges: Iterable[tuple[str, str]]) -> None:
        self.edges: tuple[Edge, ...] = tuple(
            sorted({Edge(caller, callee) for caller, callee in edges if caller != callee})
        )
        callees: dict[str, list[str]] = defaultdict(list)
        callers: dict[str, list[str]] = defaultdict(list)
        for caller, callee in self.edges:
            callees[caller].append(callee)
            callers[callee].append(caller)
        self._callees = {name: tuple(found) for name, found in callees.items()}
        self._callers = {name: tuple(found) for name, found in callers.items()}

    @property
    def services(self) -> tuple[str, ...]:
        """Every service on an edge, sorted."""
        return tuple(sorted(self._callees.keys() | self._callers.keys()))

    def callees(self, service: str) -> tuple[str, ...]:
        """The services that `service` calls."""
        return self._callees.get(service, ())

    def callers(self, service: str) -> tuple[str, ...]:
        """The services that call `service`."""
        return self._callers.get(service, ())

    def roots(self) -> tuple[str, ...]:
        """Services nobody in the fleet calls: where users come in."""
        return tuple(name for name in self.services if not self.callers(name))

    def reachable(self, *sources: str) -> frozenset[str]:
        """`sources` and everything they call, directly or through others; O(edges)."""
        seen = set(sources)
        todo = list(sources)
        while todo:
            for callee in self.callees(todo.pop()):
                if callee not in seen:
                    seen.add(callee)
                    todo.append(callee)
        return frozenset(seen)

    def depth(self) -> dict[str, int]:
        """Fewest calls from a root to each service; services on rootless cycles get 0."""
        depths = dict.fromkeys(self.roots() or self.services, 0)
        todo = list(depths)
        for service in todo:
            for callee in self.callees(service):
                if callee not in depths:
                    depths[callee] = depths[service] + 1
                    todo.append(callee)
        return depths

    def path(self, source: str, target: str) -> tuple[str, ...]:
        """A shortest chain of calls from `source` to `target`, or () when there is none."""
        before: dict[str, str] = {source: source}
        todo = [source]
        for service in todo:
            if service == target:
                break
            for callee in self.callees(service):
                if callee not in before:
                    before[callee] = service
                    todo.append(callee)
        if target not in before:
            return ()
        chain = [target]
        while chain[-1] != source:
            chain.append(before[chain[-1]])
        return tuple(reversed(chain))
