"""Synthetic damage: a picture's size and a seed make a mask; the mask makes a damaged picture.

Every kind is drawn with OpenCV on the (height, width) grid of the picture. The command line and
the training of the networks draw from this one module, so a network is trained on what
`inpaint damage` shows.
"""

from __future__ import annotations

import math
import os
import string
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.aging import age
from inpaintcli.arrays import Mask, Pixels, check_pixels
from inpaintcli.errors import UsageError
from inpaintcli.looks import look_old

Kind = Literal["lines", "scratches", "strokes", "text", "holes", "aged"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: The kinds that are a mask alone; "aged" damage is laid over the photo, which shines through.
DRAWN: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "aged")

#: The side of the patch that the published recipe of `lines` was made for.
PATCH = 32

#: Most shapes, and widest in pixels, that can be asked for.
MAX_COUNT, MAX_THICKNESS = 1_000_000, 10_000

Canvas = NDArray[np.uint8]


@dataclass(frozen=True)
class Recipe:
    """How much of one kind of damage is drawn.

    thickness: smallest and largest width of a stroke, or diameter of a hole, in pixels.
    count: smallest and largest number of shapes; None where `coverage` decides.
    coverage: smallest and largest share of damaged pixels, 0 to 1; None where `count` decides.
    """

    thickness: tuple[int, int]
    count: tuple[int, int] | None = None
    coverage: tuple[float, float] | None = None


#: What each kind draws when nothing else is asked for.
RECIPES: dict[Kind, Recipe] = {
    "lines": Recipe(thickness=(1, 2), count=(1, 9)),
    "scratches": Recipe(thickness=(1, 5), coverage=(0.03, 0.06)),
    "strokes": Recipe(thickness=(8, 24), coverage=(0.12, 0.18)),
    "text": Recipe(thickness=(2, 4), coverage=(0.04, 0.08)),
    "holes": Recipe(thickness=(24, 72), coverage=(0.035, 0.045)),
}


def generator(seed: int, name: str = "") -> np.random.Generator:
    """The random generator of one picture: the same seed and name give the same damage."""
    return np.random.default_rng([seed, zlib.crc32(name.encode("utf-8", "surrogateescape"))])


def damage(
    pixels: Pixels,
    kind: Kind = "lines",
    *,
    seed: int = 0,
    name: str = "",
    count: tuple[int, int] | None = None,
    thickness: tuple[int, int] | None = None,
    coverage: float | None = None,
) -> tuple[Pixels, Mask]:
    """Damage a photo: (damaged pixels, mask). The same size, seed and name give the same damage.

    pixels: uint8 or uint16, (h, w) or (h, w, c); alpha is left alone. The other arguments are
    those of `draw_mask`; "aged" takes none of them (see `inpaintcli.aging`).
    """
    check_pixels(pixels)
    rng = generator(seed, name)
    if kind == "aged":
        check_recipe(count, thickness, coverage, kind)
        return age(pixels, rng)
    mask = draw_mask(
        (pixels.shape[0], pixels.shape[1]), rng, kind,
        count=count, thickness=thickness, coverage=coverage,
    )  # fmt: skip
    return apply_mask(pixels, mask), mask


def old_looking(pixels: Pixels, *, seed: int = 0, name: str = "") -> Pixels:
    """An undamaged photo made to look old: see `inpaintcli.looks.look_old`.

    pixels: uint8 or uint16, (h, w, c). The same pixels, seed and name give the same.
    """
    return look_old(pixels, np.random.default_rng([seed, zlib.crc32(os.fsencode(name)), 1]))


def draw_mask(
    shape: tuple[int, int],
    rng: np.random.Generator,
    kind: Kind = "lines",
    *,
    count: tuple[int, int] | None = None,
    thickness: tuple[int, int] | None = None,
    coverage: float | None = None,
) -> Mask:
    """A bool mask of `shape` (height, width), True = damaged; never all of it.

    `count` and `thickness` are inclusive ranges, `coverage` a share of the pixels (0 to 1) up to
    which shapes are added; whichever is not given comes from `RECIPES[kind]`. The thickness of
    `lines` is that of a 32-px patch and grows with the picture's shorter side, unless given.

    Raises UsageError where a range is empty or a share is out of bounds.
    """
    if kind not in RECIPES:
        raise UsageError(f"unknown kind of mask {kind!r}: choose from {', '.join(DRAWN)}")
    recipe = RECIPES[kind]
    check_recipe(count, thickness, coverage)
    height, width = shape
    short = min(height, width)
    if thickness is None:
        low, high = recipe.thickness
        scale = max(1.0, short / PATCH) if kind == "lines" else 1.0
        # On a thumbnail, a hole of 72 px would leave nothing to restore from.
        ceiling = max(1, short // 3)
        thickness = (min(round(low * scale), ceiling), min(round(high * scale), ceiling))

    canvas = np.zeros(shape, np.uint8)
    stroke = _DRAW[kind]
    if coverage is None and (count is not None or recipe.coverage is None):
        low, high = count or recipe.count or (1, 1)
        for _ in range(int(rng.integers(low, high + 1))):
            stroke(canvas, rng, thickness)
    else:
        share = rng.uniform(*recipe.coverage) if coverage is None and recipe.coverage else coverage
        _draw_until(canvas, rng, stroke, thickness, float(share or 0))
    mask = canvas.astype(bool)
    if mask.all():
        mask[int(rng.integers(height)), int(rng.integers(width))] = False
    return mask


def draw_lines(
    canvas: Canvas,
    rng: np.random.Generator,
    count: tuple[int, int] = (1, 9),
    thickness: tuple[int, int] = (1, 2),
) -> None:
    """Draw the published recipe into a uint8 canvas, in place: the fast path of training.

    Lines between two uniformly drawn points, `count` of them, each `thickness` px wide.
    """
    height, width = canvas.shape
    number = int(rng.integers(count[0], count[1] + 1))
    xs = rng.integers(0, width, (number, 2)).tolist()
    ys = rng.integers(0, height, (number, 2)).tolist()
    widths = rng.integers(thickness[0], thickness[1] + 1, number).tolist()
    for x, y, line_width in zip(xs, ys, widths, strict=True):
        cv2.line(canvas, (x[0], y[0]), (x[1], y[1]), 1, line_width)


def apply_mask(pixels: Pixels, mask: Mask) -> Pixels:
    """A copy of (h, w) or (h, w, c) pixels in which the damaged ones are white."""
    damaged = pixels.copy()
    has_alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    colours = damaged[..., :-1] if has_alpha else damaged
    colours[mask] = np.iinfo(pixels.dtype).max
    return damaged


def check_recipe(
    count: tuple[int, int] | None,
    thickness: tuple[int, int] | None,
    coverage: float | None,
    kind: Kind = "lines",
) -> None:
    """Raise UsageError where a range is empty or a share out of bounds; see `draw_mask`."""
    if kind == "aged" and (count or thickness or coverage is not None):
        raise UsageError("count, thickness and coverage are not for aged damage: leave them")
    limits = (("count", count, 0, MAX_COUNT), ("thickness", thickness, 1, MAX_THICKNESS))
    for name, bounds, least, most in limits:
        if bounds and not least <= bounds[0] <= bounds[1] <= most:
            raise UsageError(
                f"{name} {bounds[0]} {bounds[1]}: give the smaller number first, from {least} "
                f"to {most}"
            )
    if coverage is not None and not 0 < coverage < 1:
        raise UsageError(f"coverage {coverage:g}: give a share between 0 and 1, such as 0.05")
    if coverage is not None and count is not None:
        raise UsageError("count and coverage exclude each other: give one of them")


Stroke = Callable[[Canvas, np.random.Generator, tuple[int, int]], None]


def _draw_until(
    canvas: Canvas,
    rng: np.random.Generator,
    stroke: Stroke,
    thickness: tuple[int, int],
    share: float,
) -> None:
    """Add shapes until `share` of the canvas is damaged, leaving out what overshoots grossly."""
    wanted = share * canvas.size
    damaged = 0
    refused = idle = 0
    # Where nearly all is to be damaged, strokes come to add nothing; that must end too.
    while damaged < wanted and refused < 20 and idle < 1000:
        before = canvas.copy()
        stroke(canvas, rng, thickness)
        damaged_now = cv2.countNonZero(canvas)
        if damaged_now - wanted > max(0.25 * wanted, wanted - damaged):
            canvas[:] = before
            refused += 1
            continue
        idle += damaged_now == damaged
        damaged = damaged_now


def _between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


def _line(canvas: Canvas, rng: np.random.Generator, thickness: tuple[int, int]) -> None:
    draw_lines(canvas, rng, (1, 1), thickness)


def _walk(
    canvas: Canvas, rng: np.random.Generator, length: float, bend: float
) -> NDArray[np.float64]:
    """Points of a path that starts anywhere and turns at random, at most `bend` radians in all."""
    steps = 24
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, bend / math.sqrt(steps), steps))
    stride = length / steps
    start = rng.uniform(0, (canvas.shape[1], canvas.shape[0]))
    moves = np.stack([np.cos(heading), np.sin(heading)], 1) * stride
    return np.asarray(np.vstack([start, start + np.cumsum(moves, 0)]))


def _segments(canvas: Canvas, points: NDArray[np.float64], widths: Sequence[int]) -> None:
    corners = np.rint(points).astype(int).tolist()
    for (x0, y0), (x1, y1), width in zip(corners, corners[1:], widths, strict=False):
        cv2.line(canvas, (x0, y0), (x1, y1), 1, width)


def _scratch(canvas: Canvas, rng: np.random.Generator, thickness: tuple[int, int]) -> None:
    """A gently curved scratch whose width wanders within the range."""
    length = rng.uniform(0.1, 0.7) * math.hypot(*canvas.shape)
    points = _walk(canvas, rng, length, bend=0.8)
    drift = np.cumsum(rng.integers(-1, 2, len(points)))
    widths = np.clip(_between(rng, thickness) + drift // 3, *thickness)
    _segments(canvas, points, widths.tolist())


def _brush(canvas: Canvas, rng: np.random.Generator, thickness: tuple[int, int]) -> None:
    """A broad stroke as of a brush or a marker."""
    width = _between(rng, thickness)
    length = width * rng.uniform(3, 12)
    points = _walk(canvas, rng, length, bend=1.5)
    _segments(canvas, points, [width] * len(points))


def _text(canvas: Canvas, rng: np.random.Generator, thickness: tuple[int, int]) -> None:
    """A word or a date as a camera or a pen would put it there."""
    alphabet = string.ascii_letters + string.digits + "'.:/-&"
    word = "".join(rng.choice(list(alphabet), _between(rng, (3, 14))))
    # Since version 5 OpenCV's own typeface has strokes of 3 px at scale 1, and capitals of 21 px;
    # its thickness argument only chooses between regular and bold.
    scale = _between(rng, thickness) / 3
    font = cv2.FONT_HERSHEY_SIMPLEX
    (across, up), _ = cv2.getTextSize(word, font, scale, 1)
    x = int(rng.integers(min(0, canvas.shape[1] - across), max(1, canvas.shape[1] - across // 2)))
    y = int(rng.integers(up // 2, canvas.shape[0] + up // 2 + 1))
    cv2.putText(canvas, word, (x, y), font, scale, 1, 1)


def _hole(canvas: Canvas, rng: np.random.Generator, thickness: tuple[int, int]) -> None:
    """A torn-out piece: a closed outline whose radius varies around its centre."""
    radius = _between(rng, thickness) / 2
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    reach = np.full(len(angles), 0.9)
    for waves in (2, 3, 5):
        reach += rng.uniform(0, 0.12) * np.cos(waves * angles + rng.uniform(0, 2 * math.pi))
    outline = np.stack([np.cos(angles), np.sin(angles)], 1) * (radius * reach)[:, None]
    centre = rng.uniform(0, (canvas.shape[1], canvas.shape[0]))
    cv2.fillPoly(canvas, [np.rint(outline + centre).astype(np.int32)], 1)


_DRAW: dict[Kind, Stroke] = {
    "lines": _line,
    "scratches": _scratch,
    "strokes": _brush,
    "text": _text,
    "holes": _hole,
}
