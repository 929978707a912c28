"""Gzip put together from parts."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from breakwater.registry.eureka.packing import gzip_of, part_of
from breakwater.web import gunzipped

TEXTS = st.lists(
    st.builds(lambda text, times: text * times, st.binary(max_size=40), st.integers(0, 400)),
    max_size=8,
)


@given(texts=TEXTS)
def test_the_parts_make_the_whole(texts: list[bytes]) -> None:
    """Whatever the parts, unpacking gives all of them in their order, checksum and size agreed."""
    packed = gzip_of(map(part_of, texts))
    assert gzip.decompress(packed) == b"".join(texts)
    assert gunzipped(packed, 1 << 20) == b"".join(texts)


@given(texts=TEXTS)
def test_it_is_one_member(texts: list[bytes]) -> None:
    """A reader that stops after the first gzip member has read everything."""
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert reader.decompress(gzip_of(map(part_of, texts))) == b"".join(texts)
    assert (reader.eof, reader.unused_data) == (True, b"")


def test_a_part_serves_in_many_places() -> None:
    """A packed part can be used again, at another place and twice."""
    one, two = part_of(b"abc" * 500), part_of(b"x" * 7)
    assert gzip.decompress(gzip_of([one, two, one, one])) == b"abc" * 500 + b"x" * 7 + b"abc" * 1000
