"""The fonts that come with Breakwater, and how wide their characters are.

Pictures must look the same on a laptop and in a bare container, so nothing is read from the
system: three reduced fonts lie beside this module, and their advance widths are read straight
from the files (`cmap` format 4 and `hmtx` tables of the OpenType specification). They carry no
kerning, so a text is exactly as wide as the sum of its characters.
"""

import base64
import struct
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent / "fonts"
FAMILY: Final = "Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
_REGULAR: Final = "Roboto-Regular.ttf"
_BOLD: Final = "Roboto-Bold.ttf"
_SYMBOLS: Final = "DejaVuSans-Symbols.ttf"


class FontMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Advance widths of one font in units of the font size, by code point."""

    advances: dict[int, float]
    missing: float


def font_files() -> list[str]:
    """Paths of every font a renderer must load to draw our pictures."""
    return [str(FOLDER / name) for name in (_REGULAR, _BOLD, _SYMBOLS)]


def font_css() -> str:
    """Style rules that carry the text font inside a page, about 155 kB of base64.

    A self-contained HTML report puts this once into a `<style>` element; every picture inlined
    in the page is then set in the font it was measured with.
    """
    rules = []
    for name, weight in ((_REGULAR, 400), (_BOLD, 700)):
        data = base64.b64encode((FOLDER / name).read_bytes()).decode()
        rules.append(
            f"@font-face{{font-family:Roboto;font-weight:{weight};"
            f"src:url(data:font/ttf;base64,{data}) format('truetype')}}"
        )
    return "".join(rules)


@cache
def metrics(*, bold: bool = False) -> FontMetrics:
    """Widths of the text font with the symbol font filling the holes; read once a process."""
    symbols = _read(FOLDER / _SYMBOLS)
    text = _read(FOLDER / (_BOLD if bold else _REGULAR))
    return FontMetrics(advances=symbols.advances | text.advances, missing=text.missing)


def _read(path: Path) -> FontMetrics:
    data = path.read_bytes()
    tables = _tables(data)
    (units,) = struct.unpack_from(">H", data, tables["head"] + 18)
    (long_metrics,) = struct.unpack_from(">H", data, tables["hhea"] + 34)
    hmtx = tables["hmtx"]
    widths = [
        struct.unpack_from(">H", data, hmtx + 4 * glyph)[0] / units for glyph in range(long_metrics)
    ]
    advances = {
        code: widths[min(glyph, long_metrics - 1)]
        for code, glyph in _characters(data, tables["cmap"]).items()
    }
    return FontMetrics(advances=advances, missing=widths[0])


def _tables(data: bytes) -> dict[str, int]:
    (count,) = struct.unpack_from(">H", data, 4)
    found = {}
    for index in range(count):
        tag, _checksum, offset, _length = struct.unpack_from(">4sLLL", data, 12 + 16 * index)
        found[tag.decode("ascii")] = offset
    return found


def _characters(data: bytes, cmap: int) -> dict[int, int]:
    """Code point -> glyph number from the first format 4 subtable."""
    (count,) = struct.unpack_from(">H", data, cmap + 2)
    for index in range(count):
        (offset,) = struct.unpack_from(">L", data, cmap + 4 + 8 * index + 4)
        (layout,) = struct.unpack_from(">H", data, cmap + offset)
        if layout == 4:
            return _format_4(data, cmap + offset)
    raise AssertionError("a carried font has no format 4 character map")


def _format_4(data: bytes, at: int) -> dict[int, int]:
    (double,) = struct.unpack_from(">H", data, at + 6)
    ends = at + 14
    starts = ends + double + 2
    deltas = starts + double
    ranges = deltas + double
    glyphs: dict[int, int] = {}
    for offset in range(0, double, 2):
        (end,) = struct.unpack_from(">H", data, ends + offset)
        (start,) = struct.unpack_from(">H", data, starts + offset)
        (delta,) = struct.unpack_from(">H", data, deltas + offset)
        (indirect,) = struct.unpack_from(">H", data, ranges + offset)
        for code in range(start, end + 1):
            glyph = code
            if indirect:
                where = ranges + offset + indirect + 2 * (code - start)
                (glyph,) = struct.unpack_from(">H", data, where)
            if code != 0xFFFF and (not indirect or glyph):
                glyphs[code] = (glyph + delta) & 0xFFFF
    return glyphs
