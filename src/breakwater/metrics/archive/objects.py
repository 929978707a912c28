"""Files of the archive: in a folder of this machine, or as objects of a store far away.

Both give whole files only: what was not finished when the machine stopped is not there.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final, Protocol

from breakwater.metrics.durable.files import sync_folder
from breakwater.metrics.errors import ArchiveSettingError, ArchiveUnavailableError

_TIMEOUT: Final = "30s"
_RETRIES: Final = 3
_UNFINISHED: Final = ".unfinished"


class Objects(Protocol):
    """Named files that are written once."""

    def paths(self) -> list[str]:
        """Every file there is; raises ArchiveUnavailableError, as the others do."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A file to read from, at any place; FileNotFoundError when there is none."""
        ...

    def scratch(self, path: str) -> Path:
        """Where on this machine a file may be written that is then given to `keep`."""
        ...

    def keep(self, path: str, finished: Path) -> None:
        """Put a finished file of this machine in its place, and remove it here."""
        ...


class FolderObjects:
    """Files below a folder, which is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def paths(self) -> list[str]:
        """Every Parquet file below the folder."""
        with told(f"the archive {self._folder} cannot be read"):
            found = self._folder.rglob("*.parquet") if self._folder.is_dir() else ()
            return [each.relative_to(self._folder).as_posix() for each in found]

    def open(self, path: str) -> BinaryIO:
        """The file, opened."""
        with told(f"{path} of the archive {self._folder} cannot be read"):
            return (self._folder / path).open("rb")

    def scratch(self, path: str) -> Path:
        """A name beside the file's own."""
        with told(f"the archive {self._folder} cannot be written"):
            place = self._folder / f"{path}{_UNFINISHED}"
            place.parent.mkdir(parents=True, exist_ok=True)
            return place

    def keep(self, path: str, finished: Path) -> None:
        """Make the file durable, then give it its name."""
        with told(f"the archive {self._folder} cannot be written"):
            descriptor = os.open(finished, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            place = self._folder / path
            finished.replace(place)
            sync_folder(place.parent)


class StoreObjects:
    """Objects of a store, below the path of its URL; `store` is one of obstore."""

    def __init__(self, store: Any, url: str) -> None:  # Any: a class of obstore, which has no base
        self._obstore = _load_obstore()
        self._store = store
        self._url = url
        self._failures = (OSError, self._obstore.exceptions.BaseError)

    @classmethod
    def at(cls, url: str) -> "StoreObjects":
        """The store a URL names; raises ArchiveSettingError."""
        obstore = _load_obstore()
        try:
            store = obstore.store.from_url(
                url,
                client_options={"timeout": _TIMEOUT},
                retry_config={"max_retries": _RETRIES},
            )
        except (ValueError, TypeError, obstore.exceptions.BaseError) as error:
            raise ArchiveSettingError(
                f"metrics.archive.url is {url!r}: {_brief(error)}; allowed: a folder, or a URL "
                "like s3://bucket/path, gs://bucket/path, az://container/path"
            ) from error
        return cls(store, url)

    def paths(self) -> list[str]:
        """Every object below the path of the URL."""
        with told(f"the archive {self._url} cannot be read", self._failures):
            batches = self._obstore.list(self._store)
            return [str(each["path"]) for batch in batches for each in batch]

    def open(self, path: str) -> BinaryIO:
        """The object, read piece by piece as it is asked for."""
        with told(f"{path} of the archive {self._url} cannot be read", self._failures):
            reader = self._obstore.open_reader(self._store, path)
        message = f"{path} of the archive {self._url} cannot be read"
        file: Any = _ObjectFile(reader, message, self._failures)  # Any: RawIOBase is no BinaryIO
        opened: BinaryIO = file
        return opened

    def scratch(self, path: str) -> Path:
        """A new file of this machine's own."""
        del path
        with told("there is no room for a file to be sent to the archive"):
            descriptor, name = tempfile.mkstemp(prefix="breakwater-", suffix=".parquet")
            os.close(descriptor)
            return Path(name)

    def keep(self, path: str, finished: Path) -> None:
        """Send the file."""
        with told(f"{path} cannot be sent to the archive {self._url}", self._failures):
            self._obstore.put(self._store, path, finished)
        with suppress(OSError):
            finished.unlink()


class _ObjectFile(RawIOBase):
    """An object of a store as a file of Python."""

    def __init__(self, reader: Any, message: str, failures: tuple[type[Exception], ...]) -> None:
        super().__init__()
        self._reader = reader
        self._message = message
        self._failures = failures

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def read(self, size: int = -1) -> bytes:
        with told(self._message, self._failures):
            given = self._reader.readall() if size < 0 else self._reader.read(size)
            return bytes(given)


def objects_at(url: str) -> Objects:
    """The files of an archive; raises ArchiveSettingError."""
    if "://" not in url:
        return FolderObjects(Path(url).expanduser().absolute())
    if url.startswith("file://"):
        return FolderObjects(Path(url.removeprefix("file://")))
    return StoreObjects.at(url)


@contextmanager
def told(message: str, failures: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """Whatever the machine or the store refuses becomes an ArchiveUnavailableError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except failures as error:
        raise ArchiveUnavailableError(f"{message}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return reason.strip().split("\n", 1)[0][:300] or type(error).__name__


def _load_obstore() -> ModuleType:
    try:
        import obstore  # noqa: PLC0415 - an extra, and 50 ms to import
        import obstore.exceptions  # noqa: PLC0415 - same
        import obstore.store  # noqa: PLC0415 - same
    except ImportError as error:
        raise missing("obstore") from error
    found: ModuleType = obstore
    return found


def missing(name: str) -> ArchiveSettingError:
    """What to say when a library of the extra is not installed."""
    return ArchiveSettingError(
        f"metrics.archive.url is set, but {name} is not installed; run: pip install "
        "'breakwater[archive]'"
    )
