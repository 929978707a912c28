"""How colours look to eyes that lack a kind of cone, so that a plot can be checked for them.

Matrices for linear RGB from G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A
Physiologically-based Model for Simulation of Color Vision Deficiency" (IEEE TVCG 15, 2009):
severity 1.0 for the -opias, 0.6 for the -omalies. Total colour blindness leaves the luminance
of ITU-R BT.709; its mild form is half way there.
"""

from functools import lru_cache
from typing import Final

from breakwater.render.plot.model import Vision
from breakwater.render.plot.srgb import channels, encoded, linear, written

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

_GREY: Final = (0.2126, 0.7152, 0.0722)
MATRICES: Final[dict[Vision, Matrix]] = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "protanomaly": (
        (0.385450, 0.769005, -0.154455),
        (0.100526, 0.829802, 0.069673),
        (-0.007442, -0.022190, 1.029632),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "deuteranomaly": (
        (0.498864, 0.674741, -0.173604),
        (0.205199, 0.754872, 0.039929),
        (-0.011131, 0.030969, 0.980162),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
    "tritanomaly": (
        (1.104996, -0.046633, -0.058363),
        (-0.032137, 0.971635, 0.060503),
        (0.001336, 0.317922, 0.680742),
    ),
    "achromatopsia": (_GREY, _GREY, _GREY),
    "achromatomaly": (
        (0.5 + _GREY[0] / 2, _GREY[1] / 2, _GREY[2] / 2),
        (_GREY[0] / 2, 0.5 + _GREY[1] / 2, _GREY[2] / 2),
        (_GREY[0] / 2, _GREY[1] / 2, 0.5 + _GREY[2] / 2),
    ),
}


@lru_cache(maxsize=4096)
def seen(colour: str, vision: Vision) -> str:
    """`#rrggbb` or `#rgb` as those eyes see it, as `#rrggbb`; other words are left alone."""
    if vision == "normal" or not colour.startswith("#"):
        return colour
    light = [linear(level) for level in channels(colour)]
    red, green, blue = (
        encoded(sum(weight * channel for weight, channel in zip(row, light, strict=True)))
        for row in MATRICES[vision]
    )
    return written(red, green, blue)
