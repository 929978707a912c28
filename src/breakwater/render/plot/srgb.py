"""Between the bytes of a colour and amounts of light, by IEC 61966-2-1."""


def linear(level: int) -> float:
    """The light, 0 to 1, of a channel's byte."""
    share = level / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def encoded(light: float) -> int:
    """The byte of an amount of light; beyond 0 to 1 it is cut off."""
    light = min(max(light, 0.0), 1.0)
    curved = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return round(255 * curved)


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb` or `#rgb`."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def written(red: int, green: int, blue: int) -> str:
    """The three bytes as `#rrggbb`."""
    return f"#{red:02x}{green:02x}{blue:02x}"
