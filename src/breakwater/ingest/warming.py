"""Having the compiled loops ready before the first payload comes."""

import numpy as np

from breakwater.ingest.handles import HandleTable
from breakwater.ingest.publish_text import scanned
from breakwater.ingest.write_request import read_write_request, split_labels


def warm_up() -> None:
    """Compile every loop over payloads, or load it from the disk cache. Seconds, or a moment."""
    table = HandleTable(1)
    seed = table.seed_of(b"")
    assert scanned(b"{}") is None
    split_labels([b""])
    request = read_write_request(b"", most=1)
    hashes = table.hashes(request.columns.text, np.zeros((1, 2), dtype=np.int64), seed)
    table.find(hashes)
    table.put(hashes, np.zeros(1, dtype=np.int64))
