"""Reading server-sent events from whoever sends them: bytes in, the data of whole events out."""

import re
from typing import Final

from breakwater.guards.errors import EventTooLongError

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


class EventParser:
    """Takes a stream in pieces of any size; what is kept is at most `max_event_bytes`.

    Follows the standard (WHATWG HTML, 9.2.6) as far as data goes: lines end with LF, CR or both, a
    field is cut at its first colon and one space after it, several `data` lines of one event are
    joined, comments and other fields are passed over, and an event ends at an empty line. Unlike
    the standard an event of which the end is missing is kept until it comes. O(bytes).
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._kept_bytes = 0
        self._is_first = True

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that end in this piece; raises EventTooLongError.

        After that error the parser is of no further use.
        """
        if self._is_first and piece:
            self._is_first = False
            piece = piece.removeprefix(b"\xef\xbb\xbf")
        found: list[bytes] = []
        was_split = self._rest.endswith(b"\r")
        self._rest += piece
        if was_split or _LINE_END.search(piece):
            for line in self._whole_lines():
                self._take(line, found)
        if len(self._rest) + self._kept_bytes > self._max_event_bytes:
            raise EventTooLongError(
                f"an event is longer than {self._max_event_bytes} bytes; the stream is dropped"
            )
        return found

    def _whole_lines(self) -> list[bytes]:
        """The lines that are complete; what follows them stays."""
        text = bytes(self._rest)
        # A CR at the end may be half of a CRLF; it is looked at with what follows.
        is_split = text.endswith(b"\r")
        *lines, rest = _LINE_END.split(text[:-1] if is_split else text)
        self._rest = bytearray(rest + b"\r" if is_split else rest)
        return lines

    def _take(self, line: bytes, found: list[bytes]) -> None:
        if not line:
            if self._data:
                found.append(b"\n".join(self._data))
                self._data = []
                self._kept_bytes = 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._kept_bytes += len(value) + 1  # empty lines take room too
            if self._kept_bytes > self._max_event_bytes:
                raise EventTooLongError(
                    f"an event is longer than {self._max_event_bytes} bytes; the stream is dropped"
                )
