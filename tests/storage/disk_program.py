"""Breaks the disk under a control database and looks what is left: run by the tests as a process.

Arguments: `limit`, `unwritable`, `full` or `read-only`, and a folder. Ends with 0 if every promise
was kept; prints every refusal.
"""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, insert, select

from breakwater.storage import ControlDatabase, Schema, StorageUnavailableError

TABLES = MetaData()
ROWS = Table("rows", TABLES, Column("id", Integer, primary_key=True), Column("body", LargeBinary))
LIMIT_BYTES = 600_000
NOBODY = 65_534


def main() -> None:
    """Make the disk, break it, mend it, and check."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    path = folder / "control.db"
    if kind == "limit":
        asyncio.run(breaks_while_open(path, forbid_growth, allow_growth))
    elif kind == "unwritable":
        become_nobody(folder)
        asyncio.run(
            is_broken_before(path, lambda: permit(folder, 0o444), lambda: permit(folder, 0o644))
        )
    elif kind == "full":
        mount(folder, "size=1m")
        ballast = folder / "ballast"
        asyncio.run(breaks_while_open(path, lambda: fill(ballast), ballast.unlink))
    else:
        mount(folder, "size=1m")
        asyncio.run(
            is_broken_before(
                path,
                lambda: mount(folder, "remount,ro"),
                lambda: mount(folder, "remount,rw"),
                can_read=False,  # SQLite needs its index of the log beside the file
            )
        )


async def breaks_while_open(
    path: Path, break_disk: Callable[[], None], mend_disk: Callable[[], None]
) -> None:
    """Write, break, write until refused, read, mend, write; open again and count."""
    async with opened(path) as database:
        acknowledged = [await database.write(add) for _ in range(5)]
        break_disk()
        for _ in range(3):
            acknowledged += await write_until_refused(database)
        assert database.stats().failures == 3
        assert database.stats().last_failure
        assert await database.read(numbers) == acknowledged
        mend_disk()
        acknowledged += [await database.write(add) for _ in range(5)]
        assert database.stats().last_failure == ""
    async with opened(path) as database:
        assert await database.read(numbers) == acknowledged


async def is_broken_before(
    path: Path,
    break_disk: Callable[[], None],
    mend_disk: Callable[[], None],
    *,
    can_read: bool = True,
) -> None:
    """Write and close; open what is broken; mend it while it is open."""
    async with opened(path) as database:
        acknowledged = [await database.write(add) for _ in range(5)]
    break_disk()
    async with opened(path) as database:
        if can_read:
            assert await database.read(numbers) == acknowledged
        for _ in range(3):
            assert await write_until_refused(database) == []
        if can_read:
            assert await database.read(numbers) == acknowledged
        mend_disk()
        acknowledged += [await database.write(add) for _ in range(5)]
        assert await database.read(numbers) == acknowledged


async def write_until_refused(database: ControlDatabase) -> list[int]:
    """The numbers of the rows that were acknowledged before a write was refused."""
    acknowledged: list[int] = []
    for _ in range(1_000):
        try:
            number = await database.write(add)
        except StorageUnavailableError as error:
            print(error)  # noqa: T201 - the test looks for the reason
            return acknowledged
        acknowledged.append(number)
    raise AssertionError("the disk took everything")


def opened(path: Path) -> ControlDatabase:
    """The database on `path` with the table of this program."""
    database = ControlDatabase(path)
    database.adopt(Schema(room="rows", version=1, tables=TABLES))
    return database


def add(connection: Connection) -> int:
    """Write a row of 10 kB and return its number."""
    key = connection.execute(insert(ROWS).values(body=bytes(10_000))).inserted_primary_key
    assert key is not None
    return int(key[0])


def numbers(connection: Connection) -> list[int]:
    """The numbers of all rows."""
    return list(connection.execute(select(ROWS.c.id).order_by(ROWS.c.id)).scalars())


def forbid_growth() -> None:
    """Let no file of this process grow beyond a size that is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))


def allow_growth() -> None:
    """Lift the limit again."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def become_nobody(folder: Path) -> None:
    """Own `folder` as a user who has to respect permissions."""
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def permit(folder: Path, mode: int) -> None:
    """Give the database, and what SQLite keeps beside it, the permissions `mode`."""
    for file in folder.glob("control.db*"):
        file.chmod(mode)


def mount(folder: Path, options: str) -> None:
    """Mount, or mount again, a disk in memory on `folder`; only this process sees it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Leave no byte free on the disk of `ballast`."""
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4_096))
            except OSError:
                return


main()
