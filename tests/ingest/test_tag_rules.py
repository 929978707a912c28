"""Remembered pairs change nothing about which tags are allowed."""

from hypothesis import given
from hypothesis import strategies as st

from breakwater.ingest.tag_rules import TagRules
from breakwater.model import InvalidTagsError, validate_tags

KEYS = st.sampled_from(["name", "k", "key", "nf.app", "nf.odd", "atlas.dstype", "a b", "x" * 61])
VALUES = st.sampled_from(["", "v", "vv", "v v", "x" * 120, "x" * 121, "x" * 255, "x" * 256])
MANY = st.integers(17, 24).map(lambda n: {"name": "hits", **{f"key{i}": "v" for i in range(n)}})


@given(st.lists(st.one_of(st.dictionaries(KEYS, VALUES, max_size=5), MANY), max_size=8))
def test_what_was_seen_before_is_judged_as_if_it_were_new(batches: list[dict[str, str]]) -> None:
    """Allowed or not, whatever pairs kept the rules before."""
    rules = TagRules()
    for tags in [*batches, *batches]:
        broken = rules.broken_by(tags)
        try:
            validate_tags(tags)
        except InvalidTagsError:
            assert broken is not None
        else:
            assert broken is None
