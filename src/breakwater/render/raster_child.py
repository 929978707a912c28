"""Draws SVG into PNG in a process of its own; started by `rasteriser`, as a script.

The library holds the interpreter while it draws, a tenth of a second at a time, which a server
cannot spare. Fonts are named on the command line, the family first. Then, on standard input, for
each picture: width, height and length as 32-bit numbers in network order, and the SVG. Answered by
a byte, 0 when it was drawn, the length of what follows, and the PNG or the reason. It ends with
its input, so it never outlives who started it. It imports nothing of this package.
"""

import signal
import struct
import sys
from typing import BinaryIO

import resvg_py


def main() -> None:
    """Draw until nothing more is asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    family, *fonts = sys.argv[1:]
    while head := _read(sys.stdin.buffer, 12):
        width, height, length = struct.unpack("!III", head)
        svg = _read(sys.stdin.buffer, length)
        try:
            body = resvg_py.svg_to_bytes(
                svg_string=svg.decode(),
                width=width,
                height=height,
                skip_system_fonts=True,
                font_files=fonts,
                font_family=family,
                sans_serif_family=family,
            )
            status = 0
        except ValueError as reason:
            status, body = 1, str(reason).encode()
        sys.stdout.buffer.write(struct.pack("!BI", status, len(body)))
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


def _read(stream: BinaryIO, length: int) -> bytes:
    """Exactly so many bytes; nothing when the stream ends before."""
    data = stream.read(length)
    return data if len(data) == length else b""


if __name__ == "__main__":
    main()
