"""The instances as Prometheus finds its targets: over HTTP, or in a file that it watches.

One group for each instance, since labels belong to a group. Everything is said in labels that
Prometheus drops after relabelling: `__meta_breakwater_service`, `_instance`, `_zone`, `_status`,
`_health`, and `__meta_breakwater_metadata_<key>` with whatever cannot stand in a label name as an
underscore.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec
import structlog

from breakwater.model import Instance
from breakwater.registry.native.view import NativeView

log = structlog.get_logger("breakwater.registry")

PREFIX: Final = "__meta_breakwater_"
_APART_S: Final = 1.0
_NOT_IN_A_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]")
_UP: Final = "UP"


class TargetGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One target and what is said of it."""

    targets: list[str]
    labels: dict[str, str]


def targets(instances: Iterable[Instance], *, is_every_status: bool = False) -> list[TargetGroup]:
    """A group for each instance that is UP, or for each of whatever status."""
    return [_group(one) for one in instances if one.port and (is_every_status or one.status == _UP)]


def _group(one: Instance) -> TargetGroup:
    labels = {
        f"{PREFIX}service": one.service,
        f"{PREFIX}instance": one.instance_id,
        f"{PREFIX}zone": one.zone,
        f"{PREFIX}status": one.status,
        f"{PREFIX}health": one.health.value,
    }
    for key, value in sorted(one.metadata.items()):
        labels[f"{PREFIX}metadata_{_NOT_IN_A_LABEL.sub('_', key)}"] = value
    host = f"[{one.host}]" if ":" in one.host else one.host
    return TargetGroup(targets=[f"{host}:{one.port}"], labels=labels)


async def keep_file(view: NativeView, path: Path) -> None:
    """Keep `path` as the instances are, at most once a second, until cancelled.

    A reader sees the old file or the new one, never a part. A file that cannot be written is said
    in the log, and tried again at the next change.
    """
    revision: int | None = None
    while not view.is_closed:
        if not await view.wait_quietly(revision):
            continue
        revision = view.revision
        body = msgspec.json.encode(targets(view.view().instances))
        try:
            await anyio.to_thread.run_sync(_replace, path, msgspec.json.format(body, indent=1))
        except OSError as error:
            reason = error.strerror or str(error)
            log.warning("registry.prometheus_file.unwritten", path=str(path), reason=reason)
        await anyio.sleep(_APART_S)


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
