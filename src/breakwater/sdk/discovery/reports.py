"""What was seen of each instance since it was told the last time, for the registry."""

from breakwater.model import CalleeReport
from breakwater.sdk.discovery.node import IN_USE, Node


def has_news(node: Node) -> bool:
    """Whether calls ended there that were not told yet."""
    return _totals(node) != node.told


def report_of(service: str, node: Node) -> CalleeReport | None:
    """What is new of this instance; None for one that is in use and was not called."""
    now = _totals(node)
    calls, failures, refused, timeouts = (a - b for a, b in zip(now, node.told, strict=True))
    node.told = now
    if not calls and (node.out == IN_USE or not node.is_member):
        return None
    return CalleeReport(
        service=service,
        instance_id=node.id,
        calls=calls,
        failures=failures,
        refused=refused,
        timeouts=timeouts,
        is_ejected=node.out != IN_USE,
    )


def _totals(node: Node) -> tuple[int, int, int, int]:
    return (node.calls, node.failures, node.refused, node.timeouts)
