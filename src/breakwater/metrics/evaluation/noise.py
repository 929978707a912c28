"""Noise that is the same whenever it is asked for: a hash of the time."""

import numpy as np
from numpy.typing import NDArray


def noise(stamps_ms: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    """A number in [0, 1) with three digits for each stamp, int64 [n] to float64 [n].

    The stamp, altered by the seed, is hashed in two halves (Wellons' `lowbias32`), as Netflix
    Atlas does.
    """
    altered = (stamps_ms ^ np.int64(seed)).view(np.uint64)
    low = (altered & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    high = (altered >> np.uint64(32)).astype(np.uint32)
    mixed = (_mixed(low) ^ _mixed(high)).view(np.int32)
    return np.abs(mixed.astype(np.int64)) % 1000 / 1000.0


def _mixed(half: NDArray[np.uint32]) -> NDArray[np.uint32]:
    with np.errstate(over="ignore"):
        half = (half ^ (half >> np.uint32(16))) * np.uint32(0x7FEB352D)
        half = (half ^ (half >> np.uint32(15))) * np.uint32(0x846CA68B)
    return half ^ (half >> np.uint32(16))
