"""Palettes by name, and colours as the stack language writes them.

`armytage` is the alphabet of P. Green-Armytage, "A Colour Alphabet and the Limits of Colour
Coding" (2010), without the two that vanish on white. `okabe-ito` is from M. Okabe and K. Ito,
"Color Universal Design" (2008), `tol` and `tol-muted` from P. Tol's technical note SRON/EPS/TN/
09-002: those stay apart for colour-blind eyes, as does `default`. The others are our own.
"""

import math
import re
import zlib
from typing import Final

import msgspec

from breakwater.render.errors import ChartError
from breakwater.render.palette import THEMES, Theme, ThemeName
from breakwater.render.plot.srgb import channels, encoded, linear, written

_HEX: Final = re.compile(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}")
_HASH: Final = "hash:"
_MOST_COLOURS: Final = 256

_ARMYTAGE: Final = (
    "0075DC 993F00 9DCC00 4C005C 00998F FFA405 5EF1F2 F0A3FF 94FFB5 FF0010 2BCE48 740AFF "
    "191919 FF5005 005C31 FFCC99 808080 8F7C00 C20088 003380 FFA8BB 426600 990000 FFE100"
)
_OKABE_ITO: Final = "E69F00 56B4E9 009E73 0072B2 D55E00 CC79A7 F0E442 000000"
_TOL: Final = "4477AA EE6677 228833 CCBB44 66CCEE AA3377 BBBBBB"
_TOL_MUTED: Final = "CC6677 332288 DDCC77 117733 88CCEE 882255 44AA99 999933 AA4499 DDDDDD"
_EPIC: Final = "D62A28 1F5FBF 1E9E4A E8A317 7A3FB5 12A5A8 D9488F 6B4A2B 8FBF26 4A5562"


class Colour(msgspec.Struct, frozen=True):
    """A colour as `#rrggbb` and its opacity, 0 to 1."""

    hex: str
    opacity: float = 1.0


class Palette(msgspec.Struct, frozen=True, kw_only=True):
    """Colours that lines take in turn, or, hashed, each by its label."""

    name: str
    colours: tuple[Colour, ...]
    is_hashed: bool = False

    def pick(self, index: int, label: str = "") -> Colour:
        """The colour of the line at `index`; with a hashed palette that of its label, always."""
        place = zlib.crc32(label.encode()) if self.is_hashed else index
        return self.colours[place % len(self.colours)]


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """The colour of those coordinates (hue in degrees), its chroma lowered until it fits sRGB.

    Source: B. Ottosson, "A perceptual color space for image processing" (2020).
    """
    while chroma > 0:
        channels = _linear_rgb(lightness, chroma, hue)
        if all(-1e-4 <= value <= 1.0001 for value in channels):
            break
        chroma -= 0.005
    red, green, blue = (encoded(light) for light in _linear_rgb(lightness, chroma, hue))
    return written(red, green, blue)


def _linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _between(low: str, high: str, share: float) -> str:
    pairs = zip(channels(low), channels(high), strict=True)
    red, green, blue = (round(one + (other - one) * share) for one, other in pairs)
    return written(red, green, blue)


def _listed(text: str) -> list[str]:
    return [f"#{word.lower()}" for word in text.split()]


def _shades(hue: float, chroma: float) -> list[str]:
    return [oklch(light, chroma, hue) for light in (0.50, 0.66, 0.40, 0.76, 0.58, 0.33, 0.71)]


def _wheel(lightness: float, chroma: float) -> list[str]:
    # 24 hues, each five places (of 24) after the one before, so that neighbours differ.
    # Every fifth comes near to one before it in hue, and lies apart in lightness.
    return [
        oklch(lightness + (0.0, -0.09, 0.07)[place // 5 % 3], chroma, 25 + 15 * (5 * place % 24))
        for place in range(24)
    ]


def _default(theme: ThemeName) -> list[str]:
    """The series colours of a theme, then lighter and darker ones of the same hues."""
    series = THEMES[theme].series
    shares = (("#ffffff", 0.45), ("#000000", 0.4))
    return [*series, *(_between(one, end, share) for end, share in shares for one in series)]


PALETTES: Final[dict[str, list[str]]] = {
    "default": _default("light"),
    "armytage": _listed(_ARMYTAGE),
    "epic": _listed(_EPIC),
    "okabe-ito": _listed(_OKABE_ITO),
    "tol": _listed(_TOL),
    "tol-muted": _listed(_TOL_MUTED),
    "dark24": _wheel(0.52, 0.15),
    "light24": _wheel(0.76, 0.13),
    "blues": _shades(250, 0.15),
    "greens": _shades(148, 0.15),
    "greys": _shades(250, 0.01),
    "oranges": _shades(58, 0.14),
    "purples": _shades(300, 0.16),
    "reds": _shades(26, 0.18),
    "bw": ["#000000"],
    "lightgray": ["#bfbfbf"],
}
"""Every palette: its colours in the order lines take them."""

_SYNONYMS: Final = {
    "colorblind": "okabe-ito",
    "colorBlind": "okabe-ito",
    "okabe_ito": "okabe-ito",
    "grays": "greys",
    "lightgrey": "lightgray",
}
_HUES: Final = {
    "blue": (250, 0.17),
    "gray": (250, 0.01),
    "green": (148, 0.17),
    "orange": (58, 0.16),
    "purple": (300, 0.19),
    "red": (26, 0.21),
}
_NAMED: Final[dict[str, str]] = {
    f"{name}{step}": oklch(lightness, chroma, hue)
    for name, (hue, chroma) in _HUES.items()
    for step, lightness in ((1, 0.72), (2, 0.57), (3, 0.42))
} | {
    "black": "#000000",
    "white": "#ffffff",
    "red": "#d62728",
    "green": "#2a9d3f",
    "blue": "#1f6fc4",
    "yellow": "#e3c400",
    "orange": "#f0870f",
    "purple": "#8b4fc0",
    "pink": "#e377c2",
    "brown": "#8c564b",
    "cyan": "#17becf",
    "magenta": "#d3369d",
    "gray": "#808080",
    "grey": "#808080",
}
COLOUR_NAMES: Final = tuple(sorted(_NAMED))


def parse_colour(text: str) -> Colour:
    """A colour from `f00`, `ff0000`, `80ff0000` (opacity first), each also after `#`, or a name.

    Raises ChartError for anything else.
    """
    named = _NAMED.get(text)
    if named is not None:
        return Colour(named)
    digits = text.removeprefix("#").lower()
    if not _HEX.fullmatch(digits):
        raise ChartError(
            f"colour '{text}' is neither 3, 6 or 8 hex digits nor one of {', '.join(COLOUR_NAMES)}"
        )
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    opacity = int(digits[:2], 16) / 255 if len(digits) == 8 else 1.0
    return Colour(f"#{digits[-6:]}", opacity)


def find_palette(text: str, theme: ThemeName = "light") -> Palette:
    """The palette of that name, or of the colours listed as `(,f00,00f,)` or `colors:f00,00f`.

    `hash:` before either picks by label instead of by place. Raises ChartError when there is
    no such palette or a colour cannot be read.
    """
    name = text.removeprefix(_HASH)
    if name.startswith(("(", "colors:")):
        words = [word.strip() for word in name.removeprefix("colors:").split(",")]
        colours = [parse_colour(word) for word in words if word not in {"", "(", ")"}]
        if not 1 <= len(colours) <= _MOST_COLOURS:
            raise ChartError(f"palette '{text[:80]}' lists {len(colours)} colours; 1 to 256 can be")
    else:
        known = _SYNONYMS.get(name, name)
        if known not in PALETTES:
            raise ChartError(f"there is no palette '{name}'; there are {', '.join(PALETTES)}")
        listed = _default(theme) if known == "default" else PALETTES[known]
        colours = [Colour(_visible(colour, THEMES[theme])) for colour in listed]
    return Palette(name=name, colours=tuple(colours), is_hashed=text.startswith(_HASH))


def ramp(theme: Theme, colour: str = "") -> list[str]:
    """Nine colours from few to many for a heat map: towards `colour`, or a ramp of our own.

    The first is still seen on the background. The own ramp grows evenly in lightness, so it
    reads the same without colour vision.
    """
    is_light = theme is THEMES["light"]
    if colour:
        shares = [0.16 + 0.84 * place / 8 for place in range(9)]
        return [_between(theme.background, colour, share) for share in shares]
    lightness, hue = ((0.93, 0.32), (95, 275)) if is_light else ((0.30, 0.94), (285, 95))
    return [
        oklch(
            lightness[0] + (lightness[1] - lightness[0]) * place / 8,
            0.06 + 0.10 * math.sin(math.pi * (0.15 + 0.75 * place / 8)),
            hue[0] + (hue[1] - hue[0]) * place / 8,
        )
        for place in range(9)
    ]


def _visible(colour: str, theme: Theme) -> str:
    """Lightened when it would vanish on a dark background; light backgrounds leave all alone."""
    if theme is THEMES["light"]:
        return colour
    share = _luminance(colour) + 0.05, _luminance(theme.background) + 0.05
    return _between(colour, theme.text, 0.5) if share[0] / share[1] < 1.7 else colour


def _luminance(colour: str) -> float:
    red, green, blue = (linear(level) for level in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
