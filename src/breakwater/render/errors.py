"""What can go wrong when a picture is drawn.

RenderError(InvalidInputError)
├── ChartError        the description of a picture contradicts itself; the message says where
└── PictureSizeError  the picture would be larger or smaller than can be drawn sensibly
"""

from breakwater.model import InvalidInputError


class RenderError(InvalidInputError):
    """A picture cannot be drawn from what was given."""


class ChartError(RenderError):
    """Parts of the description do not fit each other; nothing was drawn."""


class PictureSizeError(RenderError):
    """Width, height or scale lie outside what is drawn."""
