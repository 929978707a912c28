"""Which handle a series has, looked up by the bytes that spell it, without an object a series.

Only a keyed 128-bit hash of the spelling is kept beside the handle: 24 bytes an entry. Two
spellings of one series cost two entries and lead to the same handle. The keys are drawn anew in
each process, so nobody outside can find two spellings with one hash.
"""

import secrets
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from types import ModuleType

UNKNOWN: Final = -2
"""The handle of a spelling that is not in the table."""

LONGEST_BYTES: Final = 32_768
"""Longer spellings have no hash, are never found and must not be put in."""

_LEAST_CAPACITY: Final = 1 << 12
_FULLEST: Final = 0.8
_EMPTY: Final = 2**64 - 1
_OTHER_KEYS: Final = 4

Hashes = NDArray[np.uint64]
Handles = NDArray[np.int64]


def load_hashing() -> "ModuleType":
    """The compiled loops; they bring numba, which takes a moment."""
    from breakwater.ingest.kernels import hashing  # noqa: PLC0415 - numba only when it is needed

    return hashing


@cache
def _keys() -> Hashes:
    """The secret keys of this process, [words, 4]."""
    words = LONGEST_BYTES // 8 + _OTHER_KEYS
    return np.frombuffer(secrets.token_bytes(words * 32), dtype=np.uint64).reshape(words, 4)


class HandleTable:
    """Handles by the hash of a spelling; forgets everything when it would hold more than `most`.

    A handle is whatever number from 0 the caller gives. About 5 ns a look-up, beside 0.2 ns a
    byte for the hash. Not thread-safe.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._table = _empty(_LEAST_CAPACITY)
        self._taken = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return self._taken

    @property
    def size_bytes(self) -> int:
        """Memory of the table."""
        return self._table.nbytes

    def seed_of(self, text: bytes) -> Hashes:
        """A seed for `hashes`, for spellings that mean something else beside another `text`."""
        span = np.array([[0, len(text)]])
        none = np.zeros(2, dtype=np.uint64)
        seed: Hashes = self.hashes(np.frombuffer(text, dtype=np.uint8), span, none)[0]
        return seed

    @staticmethod
    def hashes(text: NDArray[np.uint8], spans: NDArray[np.int64], seed: Hashes) -> Hashes:
        """The hash of each span of the text, [n, 2]; the same in every table of this process."""
        found = np.empty((len(spans), 2), dtype=np.uint64)
        load_hashing().hash_spans(text, spans, seed, _keys(), found)
        return found

    def find(self, hashes: Hashes) -> Handles:
        """The handle of each, UNKNOWN where there is none."""
        handles = np.empty(len(hashes), dtype=np.int64)
        load_hashing().find(self._table, hashes, handles)
        return handles

    def put(self, hashes: Hashes, handles: Handles) -> None:
        """Remember handles under hashes; negative ones are passed over."""
        needed = self._taken + len(hashes)
        if needed > self._most:
            self.forgotten += self._taken
            self._table, self._taken = _empty(_LEAST_CAPACITY), 0
            needed = len(hashes)
        if needed > len(self._table) * _FULLEST:
            self._grow(needed)
        self._taken += load_hashing().put(self._table, hashes, handles)

    def _grow(self, needed: int) -> None:
        capacity = len(self._table)
        while needed > capacity * _FULLEST:
            capacity *= 2
        taken = self._table[self._table[:, 2] != _EMPTY]
        self._table = _empty(capacity)
        load_hashing().put(self._table, taken[:, :2], taken[:, 2].astype(np.int64))


def _empty(capacity: int) -> Hashes:
    return np.full((capacity, 3), _EMPTY, dtype=np.uint64)
