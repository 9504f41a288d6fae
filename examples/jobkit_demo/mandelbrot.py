"""Draws the Mandelbrot set, a row at a time, in plain Python."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import cos, log, log2, pi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = 16.0
_COLOURS = ((0, 7, 100), (32, 107, 203), (237, 255, 255), (255, 170, 0), (90, 12, 6), (0, 7, 100))
_STEPS = 512
"""Shades from one colour to the next."""

_BLACK = bytes(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A part of the plane: its middle, its width, and how many steps decide whether a point belongs to the set."""

    title: str
    middle: complex
    width: float
    steps: int
    shades: float = 24.0
    """How fast the colours change."""


VIEWS = {
    "whole": View(title="The whole set", middle=-0.6, width=3.4, steps=300, shades=120.0),
    "seahorses": View(title="Seahorse valley", middle=-0.7453 + 0.1127j, width=0.0065, steps=700),
    "elephants": View(title="Elephant valley", middle=0.2815 + 0.0085j, width=0.012, steps=500),
    "spirals": View(title="Chain of spirals", middle=-0.761574 - 0.0847596j, width=0.00035, steps=1200, shades=12.0),
}


def rows(view: View, width: int, height: int) -> Iterator[bytes]:
    """The picture from top to bottom: each row is `width` times red, green, blue."""
    palette = _palette()
    scale = view.width / width
    left = view.middle.real - view.width / 2 + scale / 2
    top = view.middle.imag + scale * (height - 1) / 2
    for row in range(height):
        imaginary = top - row * scale
        points = (complex(left + column * scale, imaginary) for column in range(width))
        yield b"".join([_colour(point, view, palette) for point in points])


def escape_time(point: complex, steps: int) -> float | None:
    """After how many steps a point runs away, with a fraction; None if it does not within `steps`.

    The fraction makes colours smooth: steps + 1 - log2(log2 |z|).
    """
    if _is_surely_inside(point):
        return None
    z = point
    for step in range(steps):
        if abs(z) > _ESCAPE:
            return max(0.0, step + 1 - log2(log(abs(z), 2)))
        z = z * z + point
    return None


def _colour(point: complex, view: View, palette: list[bytes]) -> bytes:
    time = escape_time(point, view.steps)
    return _BLACK if time is None else palette[int(time * view.shades) % len(palette)]


def _is_surely_inside(point: complex) -> bool:
    """In the large heart or the large disc: two thirds of the set, known without a single step."""
    x, y2 = point.real, point.imag * point.imag
    q = (x - 0.25) ** 2 + y2
    return q * (q + x - 0.25) <= 0.25 * y2 or (x + 1) ** 2 + y2 <= 0.0625


def _palette() -> list[bytes]:
    pairs = itertools.pairwise(_COLOURS)
    return [_blend(here, there, (1 - cos(pi * step / _STEPS)) / 2) for here, there in pairs for step in range(_STEPS)]


def _blend(here: tuple[int, ...], there: tuple[int, ...], share: float) -> bytes:
    return bytes(round(a + (b - a) * share) for a, b in zip(here, there, strict=True))
