import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import InvalidTagsError, canonical, sanitize, series_id, validate_tags

_TEXT = st.text(alphabet="abcXYZ019-._^~", min_size=2, max_size=20)


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        ({"app": "x1"}, "HasKeyRule"),
        ({"name": "n"}, "NameValueLengthRule"),
        ({"name": "ok", "k": "v"}, "KeyLengthRule"),
        ({"name": "ok", "kk": ""}, "NameValueLengthRule"),
        ({"name": "ok", "kk": "a b"}, "ValidCharactersRule"),
        ({"name": "ok", "k b": "ab"}, "ValidCharactersRule"),
        ({"name": "ok", "nf.foo": "ab"}, "ReservedKeyRule"),
        ({"name": "ok", "atlas.foo": "ab"}, "ReservedKeyRule"),
        ({"name": "ok"} | {f"key{n}": "v" for n in range(20)}, "MaxUserTagsRule"),
    ],
)
def test_bad_tags_are_refused_by_the_rule_they_break(tags: dict[str, str], rule: str) -> None:
    """The error names the first rule that is broken."""
    with pytest.raises(InvalidTagsError) as caught:
        validate_tags(tags)
    assert caught.value.rule == rule


def test_reserved_keys_that_are_known_do_not_count_as_user_tags() -> None:
    """Twenty user tags and the infrastructure's own may stand together."""
    validate_tags({"name": "ok", "nf.app": "a1"} | {f"key{n}": "v" for n in range(19)})


@given(st.dictionaries(_TEXT, _TEXT, max_size=6))
def test_identity_does_not_depend_on_order(tags: dict[str, str]) -> None:
    """The same tags in another order are the same series."""
    backwards = dict(reversed(list(tags.items())))
    assert canonical(tags) == canonical(backwards)
    assert series_id(tags) == series_id(backwards)


@given(st.text(min_size=1, max_size=30))
def test_sanitized_text_is_allowed_as_a_value(text: str) -> None:
    """Whatever a client sends, the sanitised form passes validation and keeps its length."""
    clean = sanitize(text)
    assert len(clean) == len(text)
    validate_tags({"name": "ok", "key": clean})
