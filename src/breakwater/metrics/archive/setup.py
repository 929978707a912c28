"""The archive of an engine as its settings ask for it."""

from collections.abc import Sequence
from importlib.util import find_spec

from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.archive.chunks import chunk_ms
from breakwater.metrics.archive.exporting import Exportable
from breakwater.metrics.archive.objects import Objects, missing, objects_at
from breakwater.metrics.archive.tier import ArchivedClass, ArchiveTier
from breakwater.metrics.classes.policy import FULL, dropped_keys
from breakwater.metrics.classes.store import ClassStore
from breakwater.metrics.errors import ArchiveSettingError
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.model import Clock


def archive_of(
    store: SeriesStore,
    classes: Sequence[ClassStore],
    settings: MetricsSettings,
    clock: Clock,
    *,
    objects: Objects | None = None,
) -> tuple[Archive, ArchiveTier] | None:
    """The archive and what reads it; None without a URL. Raises ArchiveSettingError.

    objects: where the files are, instead of what the URL names.
    """
    if not settings.archive.url:
        return None
    if find_spec("pyarrow") is None:
        raise missing("pyarrow")
    sources = [Exportable(FULL, settings.step_ms, store, lambda: store.settled_slots()[1])]
    kept = [
        ArchivedClass(
            name=FULL, step_ms=settings.step_ms, dropped=frozenset[str](), is_rolled=False
        )
    ]
    for position, each in enumerate(classes):
        until = [former.kept for former in classes[: position + 1]]
        sources.append(Exportable(each.name, settings.step_ms, each.store, each.settled))
        kept.append(
            ArchivedClass(
                name=each.name,
                step_ms=each.step_ms,
                dropped=dropped_keys(until),
                is_rolled=True,
            )
        )
    names = _chosen_names(settings.archive.classes, [each.name for each in kept])
    sources = [each for each in sources if each.name in names]
    for source in sources:
        _check_retention(source)
    archive = Archive(settings.archive, objects or objects_at(settings.archive.url), sources, clock)
    archived = [each for each in kept if each.name in names]
    return archive, ArchiveTier(archived, archive.reader, archive.chunks, settings)


def _chosen_names(asked: Sequence[str], there: Sequence[str]) -> frozenset[str]:
    unknown = [name for name in asked if name not in there]
    if unknown:
        raise ArchiveSettingError(
            f"metrics.archive.classes holds {unknown[0]!r}; there are: {', '.join(there)}"
        )
    return frozenset(asked or there[-1:])


def _check_retention(source: Exportable) -> None:
    """A chunk is written when it has ended; its beginning must still be held then."""
    least_s = 2 * chunk_ms(source.step_ms) // 1000
    retention_s = source.store.settings.retention_s
    if retention_s < least_s:
        raise ArchiveSettingError(
            f"class {source.name!r} is to be archived, but is kept for {retention_s} s; allowed: "
            f"{least_s} s or more, twice the length of a file of the archive"
        )
