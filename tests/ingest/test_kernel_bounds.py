"""The compiled loops check no bounds themselves: here a read beyond the data ends the process."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes
import mmap
import random
import sys

import cramjam
import numpy as np
from tests.ingest.remote_write_encoding import series
from tests.ingest.taking import metric, payload

from breakwater.ingest.handles import _keys
from breakwater.ingest.kernels import hashing, json_text, protobuf

ROOM = 8 * mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
begin = libc.mmap(None, ROOM + mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE,
                  mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
assert libc.mprotect(begin + ROOM, mmap.PAGESIZE, 0) == 0  # nobody may read behind the room


def at_the_end(data):
    address = begin + ROOM - len(data)
    ctypes.memmove(address, data, len(data))
    if not data:
        return np.empty(0, dtype=np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * len(data)).from_address(address))


def changed(chosen, data):
    data = bytearray(data)
    for _ in range(chosen.choice([0, 1, 1, 2, 5])):
        if not data:
            break
        place, how = chosen.randrange(len(data)), chosen.randrange(5)
        if how == 0:
            del data[place:]
        elif how == 1:
            data[place] = chosen.choice(b'"{}[]:,0-.eE\\\\ tN')
        elif how == 2:
            data[place] = chosen.randrange(256)
        elif how == 3:
            del data[place]
        else:
            data.insert(place, chosen.randrange(256))
    return bytes(data)


payloads = [
    payload(metric(1.5, name="hits", zone="a"), metric("NaN", name="hits"), app="x"),
    b'{ "metrics" : [ { "value" : -1.5e-7 , "tags" : { "a" : "x" } , "timestamp" : 12 } ] }',
    b'{"metrics":[{"tags":{},"timestamp":1,"value":1}]}',
]
requests = [
    series({"__name__": "hits", "job": "a" * 200}, (1, 1.0), (2**40, 2.0)),
    series({"__name__": "a"}, (1, 1.0)) * 3,
]
chosen = random.Random(int(sys.argv[1]))
spans, stamps, common = np.full((50, 2), 0), np.full(50, 0), np.full(2, -1)
values, hashes = np.empty(50), np.empty((50, 2), dtype=np.uint64)
seed = np.zeros(2, dtype=np.uint64)
read = 0
for _ in range(int(sys.argv[2])):
    for found, data in (
        (json_text.scan_publish, at_the_end(changed(chosen, chosen.choice(payloads)))),
        (protobuf.scan_write_request, at_the_end(changed(chosen, chosen.choice(requests)))),
    ):
        rest = common if found is json_text.scan_publish else np.zeros(6, dtype=np.int64)
        count = found(data, spans, stamps, values, rest)
        if count > 0:
            read += 1
            assert 0 <= spans[:count].min() <= spans[:count].max() <= len(data)
            hashing.hash_spans(data, spans[:count], seed, _keys(), hashes[:count])
            labels = np.full((50 * len(data), 2), 0)
            is_json = found is json_text.scan_publish
            split = json_text.split_tags if is_json else protobuf.split_labels
            split(data, spans[:count], labels, np.full(count, 0), 64)
            spans[:count, 1] -= spans[:count, 1] > spans[:count, 0]
            split(data, spans[:count], labels, np.full(count, 0), 64)
print(read)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_read_beyond_the_data(seed: int) -> None:
    """Whole, cut and changed payloads that end where the memory of the process ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), "20000"],
        capture_output=True, text=True, check=False, timeout=300, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 4_000
