"""Styled expressions: an expression and how it is to be shown."""

import msgspec

from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.selection.escapes import escape

OFFSETS = "offset"
_PRINTED_AS_IS = frozenset(("sed", OFFSETS, "palette"))


class Styled(msgspec.Struct, frozen=True):
    """An expression and how it is to be shown; the last setting of a name counts."""

    inner: Expression
    settings: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """The canonical program.

        Settings follow by descending name, so that a palette is set before the alpha it would
        else take away.
        """
        words = [self._word(name, value) for name, value in sorted(self.settings, reverse=True)]
        return ",".join([self.inner.text(), *words])

    def get(self, name: str) -> str | None:
        """The value of a setting."""
        return dict(self.settings).get(name)

    def with_setting(self, name: str, value: str) -> "Styled":
        """A copy with one setting changed."""
        kept = {**dict(self.settings), name: value}
        return Styled(self.inner, tuple(kept.items()))

    def without(self, *names: str) -> "Styled":
        """A copy that lacks some settings."""
        kept = tuple((name, value) for name, value in self.settings if name not in names)
        return Styled(self.inner, kept)

    @staticmethod
    def _word(name: str, value: str) -> str:
        if name == "sed":
            return value
        if name == "ls":
            return f":{value}"
        is_list = name in _PRINTED_AS_IS and value.startswith("(,")
        return f"{value if is_list else escape(value)},:{name}"
