"""The undo ledger: what is open after a crash at any byte."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.chaos_fakes import request

from breakwater.chaos import Fault, FaultState, LedgerInUseError, ProcessAct
from breakwater.chaos.ledger import Began, Ended, Entry, Ledger, decode, encode, replay

GOLDEN = Path(__file__).parents[1] / "golden" / "undo-ledger.v1"


def began(fault_id: str, reason: str = "") -> Began:
    """The begin of a freeze."""
    act = ProcessAct(signal="stop", instance="ranker-1", pid=12, started_ticks=34)
    fault = Fault(
        id=fault_id,
        state=FaultState.ACTIVE,
        started_ms=1,
        ends_ms=2,
        request=request("freeze", reason=reason),
        targets=[],
        acts=[act],
        change_id=5,
    )
    return Began(fault=fault, boot="b")


def ended(fault_id: str) -> Ended:
    """The end of a fault."""
    return Ended(fault_id=fault_id, state=FaultState.UNDONE, at_ms=3)


def open_after(entries: list[Entry]) -> set[str]:
    """The definition of the ledger's meaning, in the simplest words."""
    state: set[str] = set()
    for entry in entries:
        if isinstance(entry, Began):
            state.add(entry.fault.id)
        else:
            state.discard(entry.fault_id)
    return state


IDS = st.sampled_from(["f-1", "f-2", "f-3"])
ENTRIES = st.lists(
    st.one_of(st.builds(began, IDS, st.text(max_size=20)), st.builds(ended, IDS)), max_size=12
)


@given(entries=ENTRIES, data=st.data())
def test_a_crash_at_any_byte_leaves_the_state_of_the_complete_entries(
    entries: list[Entry], data: st.DataObject
) -> None:
    """Replay of a ledger cut anywhere equals the state after the entries that were complete."""
    lines = [encode(entry) for entry in entries]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    complete, length = [], 0
    for entry, line in zip(entries, lines, strict=True):
        length += len(line)
        if length <= cut:
            complete.append(entry)
    got = replay(whole[:cut])
    assert set(got.open) == open_after(complete)
    assert got.damaged_lines == 0
    assert got.intact_bytes == sum(map(len, lines[: len(complete)]))


@given(entries=ENTRIES, data=st.data())
def test_a_flipped_bit_never_becomes_another_entry(
    entries: list[Entry], data: st.DataObject
) -> None:
    """A damaged line is passed over and counted; what the others say is kept."""
    lines = [encode(entry) for entry in entries]
    whole = bytearray(b"".join(lines))
    if not whole:
        return
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    hit, length = 0, 0
    for hit, line in enumerate(lines):  # noqa: B007 - the index of the line that was hit is used
        length += len(line)
        if at < length:
            break
    survivors = [entry for n, entry in enumerate(entries) if n != hit]
    is_newline = at == length - 1
    if is_newline:  # the line break itself was hit: the line after it is lost too
        survivors = [entry for n, entry in enumerate(entries) if n not in (hit, hit + 1)]
    same_case = decode(bytes(whole[length - len(lines[hit]) : length - 1])) is not None
    if not same_case:
        assert set(replay(bytes(whole)).open) == open_after(survivors)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_replayed(data: bytes) -> None:
    """Replay of rubbish opens nothing and raises nothing."""
    assert replay(data).open == {}


def test_what_was_appended_is_there_after_reopening(tmp_path: Path) -> None:
    """Entries survive close and open, and an end closes its begin."""
    path = tmp_path / "folder" / "undo.ledger"
    ledger = Ledger(path)
    for entry in (began("f-1"), began("f-2"), ended("f-1")):
        ledger.append(entry)
    ledger.close()
    again = Ledger(path)
    assert again.at_start.open == {"f-2": began("f-2")}
    again.close()


def test_a_torn_tail_is_cut_before_the_next_entry(tmp_path: Path) -> None:
    """After a crash in the middle of a write, later entries are whole."""
    path = tmp_path / "undo.ledger"
    path.write_bytes(encode(began("f-1")) + encode(began("f-2"))[:-7])
    ledger = Ledger(path)
    assert set(ledger.at_start.open) == {"f-1"}
    ledger.append(began("f-3"))
    ledger.close()
    assert path.read_bytes() == encode(began("f-1")) + encode(began("f-3"))


def test_two_platforms_cannot_share_a_ledger(tmp_path: Path) -> None:
    """The second opener is refused while the first holds it."""
    first = Ledger(tmp_path / "undo.ledger")
    with pytest.raises(LedgerInUseError, match="held by another"):
        Ledger(tmp_path / "undo.ledger")
    first.close()
    Ledger(tmp_path / "undo.ledger").close()


def test_a_long_ledger_is_compacted_when_opened(tmp_path: Path) -> None:
    """Only open faults are kept of a file that has grown, and the lock moves with it."""
    path = tmp_path / "undo.ledger"
    pair = encode(began("f-1", "x" * 400)) + encode(ended("f-1"))
    path.write_bytes(pair * 600 + encode(began("f-2")))
    ledger = Ledger(path)
    assert path.read_bytes() == encode(began("f-2"))
    with pytest.raises(LedgerInUseError):
        Ledger(path)
    ledger.append(ended("f-2"))
    ledger.close()
    assert replay(path.read_bytes()).open == {}


def test_a_full_disk_leaves_the_ledger_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When only a part of an entry fits, append raises, and the next entry is whole again."""
    path = tmp_path / "undo.ledger"
    ledger = Ledger(path)
    ledger.append(began("f-1"))
    real_write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real_write(fd, data[:20]))
        with pytest.raises(OSError, match="only a part"):
            ledger.append(began("f-2"))
    with monkeypatch.context() as patch:

        def full(_fd: int, _data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            ledger.append(began("f-3"))
    ledger.append(began("f-4"))
    ledger.close()
    assert set(replay(path.read_bytes()).open) == {"f-1", "f-4"}


def test_the_written_format_of_version_one_is_read() -> None:
    """A ledger written by the first version means the same today."""
    assert replay(GOLDEN.read_bytes()).open == {"f-2": began("f-2", "golden")}
