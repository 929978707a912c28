"""SVG to PNG without holding up the process that asks: a child draws, one picture at a time."""

import atexit
import select
import struct
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from breakwater.model import UnavailableError
from breakwater.render.errors import RenderError
from breakwater.render.fonts import font_files
from breakwater.render.raster import FAMILY, pixels_of, png

_CHILD: Final = Path(__file__).with_name("raster_child.py")
_HEAD: Final = struct.Struct("!BI")


class RasteriserStats(msgspec.Struct, frozen=True, kw_only=True):
    """Since the start: pictures drawn, children started, pictures that took too long."""

    drawn: int
    started: int
    given_up: int


class Rasteriser:
    """Draws pictures in a child process, which is started with the first and used again.

    Safe to use from several threads; they wait for each other. The child costs about 15 MB, and
    ends with this process or with `close`.
    """

    def __init__(self, patience_s: float = 20.0) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._drawn = self._started = self._given_up = 0

    def png(self, svg: str, scale: float = 1.0) -> bytes:
        """The picture as PNG bytes, `scale` device pixels for each of its own.

        Raises what `render.png` raises, and UnavailableError when it takes longer than
        `patience_s`. Where no process can be started it is drawn in this one.
        """
        width, height = pixels_of(svg, scale)
        document = svg.encode()
        asked = struct.pack("!III", width, height, len(document)) + document
        with self._lock:
            try:
                status, body = self._answer(asked)
            except ChildProcessError:
                self._end()  # it died since the last picture, or of this one: once more
                try:
                    status, body = self._answer(asked)
                except ChildProcessError as error:
                    self._end()
                    raise RenderError(f"the picture could not be drawn: {error}") from error
            except OSError:
                return png(svg, scale)
            self._drawn += 1
        if status:
            raise RenderError(f"the SVG could not be drawn: {body.decode()}")
        return body

    def stats(self) -> RasteriserStats:
        """Counts since the start."""
        return RasteriserStats(drawn=self._drawn, started=self._started, given_up=self._given_up)

    def close(self) -> None:
        """End the child; the next picture starts another."""
        with self._lock:
            self._end()

    def _answer(self, asked: bytes) -> tuple[int, bytes]:
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            rest = memoryview(asked)
            while rest:
                rest = rest[child.stdin.write(rest) :]
        except BrokenPipeError as error:
            raise ChildProcessError("the process that draws ended") from error
        end_s = time.monotonic() + self._patience_s
        status, length = _HEAD.unpack(self._read(child, _HEAD.size, end_s))
        return status, self._read(child, length, end_s)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", str(_CHILD), FAMILY, *font_files()]
        child = subprocess.Popen(  # noqa: S603 - our own script, and no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._child = child
        self._started += 1
        return child

    def _read(self, child: "subprocess.Popen[bytes]", size: int, end_s: float) -> bytes:
        """Exactly so many bytes of what the child says, by the deadline."""
        assert child.stdout is not None
        waiting = select.poll()
        waiting.register(child.stdout, select.POLLIN)
        parts: list[bytes] = []
        while size:
            left_ms = 1000 * (end_s - time.monotonic())
            if left_ms <= 0 or not waiting.poll(left_ms):
                self._given_up += 1
                self._end()
                raise UnavailableError(f"the picture was not drawn in {self._patience_s:g} s")
            part = child.stdout.read(min(size, 1 << 20))
            if not part:
                raise ChildProcessError("the process that draws ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.wait()


@cache
def shared_rasteriser() -> Rasteriser:
    """What draws the pictures of this process; it ends with it."""
    shared = Rasteriser()
    atexit.register(shared.close)
    return shared
