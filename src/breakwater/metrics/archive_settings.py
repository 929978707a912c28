"""Where old datapoints are archived, and how much of the archive is kept in memory."""

import msgspec


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The archive of an engine; without a `url` there is none.

    url: a folder, or an object store as `s3://bucket/path`, `gs://`, `az://`; who may use that is
    read from the environment as its own tools do (AWS_ACCESS_KEY_ID, AWS_ENDPOINT and so on).
    classes: names of the retention classes to be archived, `full` for full resolution; without
    any it is the coarsest one. is_exporting: whether new chunks are written; else the archive is
    only read. cache_bytes: values, and as much again for tags, kept in memory for queries.
    """

    url: str = ""
    classes: list[str] = []
    is_exporting: bool = True
    cache_bytes: int = 64 << 20
