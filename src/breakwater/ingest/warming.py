"""Having the compiled loops ready before the first payload comes."""

import numpy as np

from breakwater.ingest.handles import HandleTable
from breakwater.ingest.publish_text import scanned, split_tags
from breakwater.ingest.spelling import PairTable
from breakwater.ingest.tag_rules import TagRules
from breakwater.ingest.write_request import read_write_request, split_labels


def warm_up() -> None:
    """Compile every loop over payloads, or load it from the disk cache. Seconds, or a moment."""
    table = HandleTable(1)
    seed = table.seed_of(b"")
    assert scanned(b"{}") is None
    pair = PairTable(TagRules(), lambda _: None)
    text = np.frombuffer(b'{"":""}', dtype=np.uint8)
    pair.lay(text, split_labels(text, np.zeros((1, 2), dtype=np.int64)))
    pair.lay(text, split_tags(text, np.array([[0, 7]])))
    request = read_write_request(b"", most=1)
    hashes = table.hashes(request.columns.text, np.zeros((1, 2), dtype=np.int64), seed)
    table.find(hashes)
    table.put(hashes, np.zeros(1, dtype=np.int64))
