"""Damage as time does it to prints and film: scratches, nicks, cracks, creases, folds, peeled
spots, worn edges, dust, hairs, lint and stains, half-transparent and soft-edged, drawn over a
photo.

Every artefact is an opacity map over a small window and a colour; the photo shows through by what
the opacity leaves. What is damaged is what differs in the end, so a faint stain over a dark wall
is no damage, as nobody would paint it into a mask. Sizes grow with the photo: a scan of twice the
resolution shows the same scratch twice as wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels

#: A pixel is damaged where some channel differs by this share of full scale, or more.
VISIBLE = 0.05
#: Shorter side in pixels of the photo for which the sizes below are meant.
USUAL = 600

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Artefact:
    """One piece of damage. opacity: (h, w) in [0, 1], laid at `top`, `left`, which may lie outside.
    colour: (3,) in [0, 1], or (h, w, 3)."""

    top: int
    left: int
    opacity: Floats
    colour: Floats

    def inside(self, height: int, width: int) -> tuple[tuple[slice, slice], Floats, Floats] | None:
        """What of it lies on a picture of that size: (where, opacity (h, w, 1), colour (3,) or
        (h, w, 3)); None where nothing does."""
        top, left = max(0, self.top), max(0, self.left)
        bottom = min(height, self.top + self.opacity.shape[0])
        right = min(width, self.left + self.opacity.shape[1])
        if bottom <= top or right <= left:
            return None
        cut = np.s_[top - self.top : bottom - self.top, left - self.left : right - self.left]
        colour = self.colour[cut] if self.colour.ndim == 3 else self.colour
        return np.s_[top:bottom, left:right], self.opacity[cut][..., None], colour


def age(
    pixels: Pixels,
    rng: np.random.Generator,
    amount: float = 1.0,
    kinds: Collection[str] | None = None,
) -> tuple[Pixels, Mask]:
    """Damage a photo: (aged pixels, mask), the mask True where damage is visible.

    pixels: uint8 or uint16, (h, w) or (h, w, c); alpha is left alone. amount: how much damage, 1 as
    on a print that lay in a drawer, 3 as on one that lay in a cellar. kinds: names in `KINDS`, all
    of which befall the photo; by default each does as often as it does. Something is always
    damaged, and something never is (of a photo of more than one pixel).
    """
    aged = pixels.copy()
    planes = aged.reshape(*pixels.shape[:2], -1)
    colours = 3 if planes.shape[2] >= 3 else 1
    # On a thumbnail all that is drawn may be too faint, or miss it.
    for _ in range(50):
        for artefact in artefacts((pixels.shape[0], pixels.shape[1]), rng, amount, kinds):
            _lay(planes[..., :colours], artefact)
        mask = _changed(pixels, aged)
        if mask.all():
            kept = np.unravel_index(int(rng.integers(mask.size)), mask.shape)
            aged[kept], mask[kept] = pixels[kept], False
        if mask.any():
            break
    return aged, mask


def _changed(pixels: Pixels, aged: Pixels) -> Mask:
    """Where some channel differs visibly, bool (h, w)."""
    planes = aged.reshape(*pixels.shape[:2], -1)
    colours = 3 if planes.shape[2] >= 3 else 1
    top = np.iinfo(pixels.dtype).max
    before = pixels.reshape(planes.shape)[..., :colours]
    mask = np.zeros(pixels.shape[:2], np.bool_)
    for row in range(0, len(mask), 256):
        rows = np.s_[row : row + 256]
        change = np.abs(planes[rows, :, :colours].astype(np.int32) - before[rows])
        mask[rows] = (change >= VISIBLE * top).any(2)
    return mask


def _lay(planes: Pixels, artefact: Artefact) -> None:
    """Blend an artefact into (h, w, c) pixels, in place."""
    inside = artefact.inside(planes.shape[0], planes.shape[1])
    if not inside:
        return
    where, opacity, colour = inside
    if planes.shape[2] == 1:
        colour = colour.mean(-1, keepdims=True)
    full = np.iinfo(planes.dtype).max
    window = planes[where]
    window[:] = np.rint(window * (1 - opacity) + colour * (opacity * full)).astype(planes.dtype)


def artefacts(
    shape: tuple[int, int],
    rng: np.random.Generator,
    amount: float,
    kinds: Collection[str] | None = None,
    scale: float | None = None,
) -> Iterator[Artefact]:
    """What befalls a photo of `shape`, stains below all else; see `age`.

    scale: how many times as large as on a photo of `USUAL` px; by default as the photo is.
    """
    scale = scale or max(0.5, min(shape) / USUAL)
    for name, (kind, often, most) in KINDS.items():
        share = min(0.95, often * amount**0.5) if kinds is None else float(name in kinds)
        if rng.random() < share:
            for _ in range(int(rng.integers(1, max(2, round(most * amount) + 1)))):
                yield from kind(shape, rng, scale)


# --- colours -------------------------------------------------------------------------------------


def paper(rng: np.random.Generator) -> Floats:
    """The base of a print: white to yellowish."""
    light = rng.uniform(0.78, 1.0)
    return np.array([light, light * rng.uniform(0.95, 1), light * rng.uniform(0.82, 1)], np.float32)


def dark(rng: np.random.Generator) -> Floats:
    """Dirt: black to dark brown."""
    light = rng.uniform(0.0, 0.25)
    return np.array([light, light * rng.uniform(0.8, 1), light * rng.uniform(0.6, 1)], np.float32)


def _emulsion(rng: np.random.Generator) -> Floats:
    """A scratch in the layers of colour film leaves what is below: often green, blue or yellow."""
    hue = np.array([[[int(rng.integers(180)), int(rng.integers(60, 200)), 230]]], np.uint8)
    return np.asarray(cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0], np.float32) / np.float32(255)


def _scratched(rng: np.random.Generator) -> Floats:
    choice = rng.random()
    if choice < 0.55:
        return paper(rng)
    return dark(rng) if choice < 0.85 else _emulsion(rng)


# --- shapes --------------------------------------------------------------------------------------


def _start(shape: tuple[int, int], rng: np.random.Generator) -> Points:
    return rng.uniform(0, (shape[1], shape[0]))


def _path(
    start: Points, heading: float, length: float, bend: float, rng: np.random.Generator
) -> Points:
    """A path (n, 2) of x and y that turns at random, by about `bend` radians over its length."""
    steps = max(4, round(length / 12))
    turns = rng.normal(0, bend / math.sqrt(steps), steps)
    # Two scales of turning: long curves with a tremor on them.
    headings = heading + np.cumsum(turns) + rng.normal(0, bend / 12, steps)
    moves = np.stack([np.cos(headings), np.sin(headings)], 1) * (length / steps)
    return np.asarray(np.vstack([start, start + np.cumsum(moves, 0)]))


def _widths(count: int, width: float, rng: np.random.Generator) -> Points:
    """Widths along a path: wandering around `width`, tapering off at both ends."""
    wander = np.exp(np.cumsum(rng.normal(0, 0.12, count)) - rng.normal(0, 0.1))
    ends = np.minimum(1, np.minimum(np.arange(count) + 1, np.arange(count)[::-1] + 1) / 4)
    return np.asarray(np.clip(width * np.clip(wander, 0.4, 2.0) * ends, 0.35, None))


def _smooth_noise(
    shape: tuple[int, int], size: float, rng: np.random.Generator, low: float = 0, high: float = 1
) -> Floats:
    """Noise (h, w) in [low, high] with blotches of about `size` pixels."""
    small = (max(2, math.ceil(shape[0] / size) + 1), max(2, math.ceil(shape[1] / size) + 1))
    noise = cv2.resize(
        rng.uniform(low, high, small).astype(np.float32), (shape[1], shape[0]),
        interpolation=cv2.INTER_CUBIC,
    )  # fmt: skip
    return np.asarray(np.clip(noise, low, high), np.float32)


def draw_paths(
    paths: list[tuple[Points, Points]], shape: tuple[int, int], softness: float, pad: float = 4
) -> tuple[int, int, Floats] | None:
    """Paths as an opacity map: (top, left, (h, w)) in [0, 1]; None where all of them are outside.

    paths: of each the points (n, 2), x and y, and its n widths, all in pixels of a picture of
    `shape`. softness: sigma of a blur in pixels; pad: pixels around them that belong to the map.


    Drawn at four times the size and shrunk, so that a width of half a pixel is half as opaque.
    """
    reach = pad + max(widths.max() for _, widths in paths) + 3 * softness
    corners = np.vstack([points for points, _ in paths])
    low = np.maximum(np.floor(corners.min(0) - reach), -8).astype(int)
    high = np.minimum(np.ceil(corners.max(0) + reach), [shape[1] + 8, shape[0] + 8]).astype(int)
    width, height = (high - low).tolist()
    if width < 2 or height < 2:
        return None
    # A long scratch over a large scan needs no four times the size: its widths are large too.
    over = 4 if width * height < 400_000 else 2 if width * height < 4_000_000 else 1
    canvas = np.zeros((height * over, width * over), np.uint8)
    for points, widths in paths:
        places = np.rint((points - low) * over * 16).astype(int).tolist()
        for a, b, wide in zip(places, places[1:], widths.tolist(), strict=False):
            cv2.line(canvas, a, b, 255, max(1, round(wide * over)), cv2.LINE_AA, 4)
    return int(low[1]), int(low[0]), _shrunk(canvas, (width, height), softness)


def _blob(radius: float, rng: np.random.Generator, rough: float = 0.3) -> Floats:
    """A closed irregular shape of about `radius` as signed distances (side, side), inside > 0."""
    side = 2 * math.ceil(radius * (1.2 + rough)) + 5
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) - np.float32(side / 2)
    angle = np.arctan2(y, x)
    edge = np.full_like(angle, radius)
    for waves in (1, 2, 3, 5, 8, 13):
        edge += (
            radius * rough / waves**0.8 * rng.uniform(0, 0.6)
            * np.cos(waves * angle + rng.uniform(0, 2 * math.pi))
        )  # fmt: skip
    ratio = rng.uniform(0.6, 1.0)
    return np.asarray(edge - np.hypot(x, y / ratio), np.float32)


def _shrunk(canvas: NDArray[np.uint8], size: tuple[int, int], softness: float) -> Floats:
    """What was drawn larger, as an opacity map of `size` (width, height), blurred."""
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    opacity = np.asarray(small, np.float32) / np.float32(255)
    if softness > 0.2:
        opacity = np.asarray(cv2.GaussianBlur(opacity, (0, 0), softness), np.float32)
    return opacity


# --- kinds ---------------------------------------------------------------------------------------


def _scratch(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A scratch: nearly straight or curved, in places fainter or gone, often with a twin."""
    diagonal = math.hypot(*shape)
    upright = rng.random() < 0.4
    heading = math.pi / 2 + rng.normal(0, 0.05) if upright else rng.uniform(0, 2 * math.pi)
    length = diagonal * rng.uniform(0.05, 0.8)
    width = scale * float(np.exp(rng.uniform(math.log(0.5), math.log(4.5))))
    start, bend = _start(shape, rng), rng.choice([0.05, 0.3, 1.2])
    colour, strength = _scratched(rng), rng.uniform(0.35, 1.0)
    relief = None
    if rng.random() < 0.2:
        aside = heading + rng.choice([-1, 1]) * math.pi / 2
        relief = max(1.0, width * 0.7) * np.array([math.sin(aside), math.cos(aside)])
    for twin in range(1 if rng.random() < 0.75 else int(rng.integers(2, 5))):
        offset = rng.normal(0, 6 * scale, 2) * (twin > 0)
        points = _path(start + offset, heading, length * rng.uniform(0.5, 1), bend, rng)
        drawn = draw_paths([(points, _widths(len(points), width, rng))], shape,
                       scale * rng.uniform(0.2, 0.9))  # fmt: skip
        if drawn:
            top, left, opacity = drawn
            wear = _smooth_noise(opacity.shape, 25 * scale, rng, rng.uniform(-0.4, 0.9), 1.2)
            opacity *= np.clip(wear, 0, 1) * np.float32(strength)
            if relief is not None:
                # A furrow: the wall that faces away from the scanner's lamp is dark.
                down, right = np.rint(relief).astype(int).tolist()
                shadow = opacity * np.float32(rng.uniform(0.2, 0.9))
                yield Artefact(top + down, left + right, shadow, dark(rng))
            yield Artefact(top, left, opacity, colour)


def _nicks(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """Many short, fine scratches of one colour, as a surface gets that was rubbed for years."""
    colour, softness = _scratched(rng), scale * rng.uniform(0.2, 0.6)
    main = rng.uniform(0, 2 * math.pi)
    spread = rng.choice([0.3, 3.0])
    for _ in range(int(rng.integers(8, 70))):
        length = scale * float(np.exp(rng.uniform(math.log(3), math.log(40))))
        points = _path(_start(shape, rng), main + rng.normal(0, spread), length, 0.4, rng)
        width = scale * float(np.exp(rng.uniform(math.log(0.4), math.log(1.8))))
        drawn = draw_paths([(points, _widths(len(points), width, rng))], shape, softness)
        if drawn:
            top, left, opacity = drawn
            yield Artefact(top, left, opacity * np.float32(rng.uniform(0.3, 1)), colour)


def _branches(
    shape: tuple[int, int], rng: np.random.Generator, scale: float, depth: int = 0,
    start: Points | None = None, heading: float = 0, length: float = 0, width: float = 0,
) -> Iterator[tuple[Points, Points]]:  # fmt: skip
    assert start is not None
    points = _path(start, heading, length, rng.uniform(0.4, 1.6), rng)
    points[1:-1] += rng.normal(0, 1.2 * scale, (len(points) - 2, 2))
    yield points, _widths(len(points), width, rng)
    if depth < 3:
        for index in range(2, len(points) - 1):
            if rng.random() < 0.09:
                aside = heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
                yield from _branches(shape, rng, scale, depth + 1, points[index], aside,
                                     length * rng.uniform(0.15, 0.5), width * 0.7)  # fmt: skip


def _cracked(
    paths: list[tuple[Points, Points]], shape: tuple[int, int], rng: np.random.Generator,
    scale: float,
) -> Iterator[Artefact]:  # fmt: skip
    """Broken emulsion: the paper's white in the middle, a dark rim where the layer lifts."""
    rims = [(p + scale * rng.normal(0, 0.5, 2), w * 1.8 + scale) for p, w in paths]
    shadow = draw_paths(rims, shape, scale * rng.uniform(0.6, 1.2))
    core = draw_paths(paths, shape, scale * rng.uniform(0.15, 0.5))
    if shadow and core:
        if rng.random() < 0.8:
            top, left, opacity = shadow
            yield Artefact(top, left, opacity * np.float32(rng.uniform(0.15, 0.55)), dark(rng))
        top, left, opacity = core
        opacity *= np.clip(_smooth_noise(opacity.shape, 18 * scale, rng, 0.2, 1.6), 0, 1)
        yield Artefact(top, left, opacity * np.float32(rng.uniform(0.7, 1)), paper(rng))


def _crack(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A crack that branches."""
    paths = list(_branches(
        shape, rng, scale, 0, _start(shape, rng), rng.uniform(0, 2 * math.pi),
        math.hypot(*shape) * rng.uniform(0.1, 0.6), scale * rng.uniform(0.6, 3.5),
    ))  # fmt: skip
    yield from _cracked(paths, shape, rng, scale)


def _crease(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A fold: straight across the print, cracked along its way, light on one side and dark on the
    other."""
    height, width = shape
    if rng.random() < 0.5:
        ends = np.array([[-5, rng.uniform(0, height)], [width + 5, rng.uniform(0, height)]])
    else:
        ends = np.array([[rng.uniform(0, width), -5], [rng.uniform(0, width), height + 5]])
    if rng.random() < 0.3:  # a dog-ear
        corner = np.array([rng.choice([0, width]), rng.choice([0, height])], float)
        size = min(shape) * rng.uniform(0.08, 0.3)
        inward = np.where(corner > 0, -1, 1)
        ends = np.array([corner + inward * [size, 0], corner + inward * [0, size]])
    steps = max(4, int(np.linalg.norm(ends[1] - ends[0]) / (8 * scale)))
    points = ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, steps)[:, None]
    points = points + rng.normal(0, 0.7 * scale, points.shape)
    across = np.array([-(ends[1] - ends[0])[1], (ends[1] - ends[0])[0]])
    across = across / max(1e-6, float(np.linalg.norm(across)))
    band = scale * rng.uniform(3, 9)
    for side, colour in ((1, np.ones(3, np.float32)), (-1, np.zeros(3, np.float32))):
        drawn = draw_paths(
            [(points + across * side * band / 2, np.full(steps, band))], shape, band / 2
        )
        if drawn:
            top, left, opacity = drawn
            yield Artefact(top, left, opacity * np.float32(rng.uniform(0.02, 0.12)), colour)
    widths = _widths(steps, scale * rng.uniform(0.5, 2.5), rng)
    yield from _cracked([(points, widths)], shape, rng, scale)
    for index in range(steps):
        if rng.random() < 0.05:
            heading = math.atan2(across[1], across[0]) + rng.normal(0, 0.4)
            yield from _cracked(list(_branches(
                shape, rng, scale, 2, points[index], heading + math.pi * (rng.random() < 0.5),
                min(shape) * rng.uniform(0.02, 0.12), scale * rng.uniform(0.5, 1.5),
            )), shape, rng, scale)  # fmt: skip


def _fold(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A fold or a dent that has not broken the picture: one flank catches the scanner's light, the
    most right at the fold and ever less away from it, and the other lies in shadow; it runs out to
    a point, and often comes in from an edge."""
    diagonal = math.hypot(*shape)
    start = _start(shape, rng)
    heading = rng.uniform(0, 2 * math.pi)
    if rng.random() < 0.6:
        side = int(rng.integers(4))
        start[side % 2] = (0, 0, shape[1], shape[0])[side]
        heading = (0, math.pi / 2, math.pi, -math.pi / 2)[side] + rng.uniform(-1.2, 1.2)
    points = _path(start, heading, diagonal * rng.uniform(0.08, 0.7), rng.choice([0.05, 0.4]), rng)
    reach = _widths(
        len(points), scale * float(np.exp(rng.uniform(math.log(2.5), math.log(14)))), rng
    )
    strength = rng.uniform(0.25, 0.8)
    softness = scale * rng.uniform(0, 0.5)
    turn = rng.choice([-1, 1])
    wear = _smooth_noise((2, 64), 8, rng, rng.uniform(0.0, 0.9), 1.2)[0]
    lit = (turn, 1.0, paper(rng), 1.0)
    shaded = (-turn, rng.uniform(0.3, 1), dark(rng), rng.uniform(0, 0.8))
    for side, share, colour, strong in (shaded, lit):
        drawn = _flank(points, side * share * reach, wear, shape, softness)
        if drawn:
            top, left, opacity = drawn
            yield Artefact(top, left, opacity * np.float32(strength * strong), colour)


def _flank(
    points: Points, reach: Points, wear: Floats, shape: tuple[int, int], softness: float
) -> tuple[int, int, Floats] | None:
    """One side of a path as an opacity map, as `draw_paths` returns it: full at the path,
    falling off to a sixth at `reach` pixels to its right (its left, where negative), where it ends.

    wear: shares of the opacity, spread evenly along the path.
    """
    far = float(np.abs(reach).max()) + 3 * softness + 3
    low = np.maximum(np.floor(points.min(0) - far), -8).astype(int)
    high = np.minimum(np.ceil(points.max(0) + far), [shape[1] + 8, shape[0] + 8]).astype(int)
    width, height = (high - low).tolist()
    if width < 2 or height < 2:
        return None
    over = 4 if width * height < 400_000 else 2
    ways = np.gradient(points, axis=0)
    across = np.stack([-ways[:, 1], ways[:, 0]], 1)
    across /= np.maximum(np.hypot(*ways.T), 1e-6)[:, None]
    along = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(wear)), wear)
    canvas = np.zeros((height * over, width * over), np.uint8)
    steps = 10
    # From the widest and faintest strip to the narrowest and strongest.
    for step in range(steps, 0, -1):
        outer = points + across * (reach * (step / steps))[:, None]
        rims = [np.rint((rim - low) * over * 16).astype(np.int32) for rim in (points, outer)]
        light = math.exp(-2 * (step - 1) / steps) * 255
        for at in range(len(points) - 1):
            quad = np.stack([rims[0][at], rims[0][at + 1], rims[1][at + 1], rims[1][at]])
            cv2.fillConvexPoly(canvas, quad, light * min(1.0, float(along[at])), cv2.LINE_8, 4)
    return int(low[1]), int(low[0]), _shrunk(canvas, (width, height), softness)


def _peel(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A spot where the picture is gone to the paper: at a corner, an edge, or anywhere."""
    radius = min(shape) * float(np.exp(rng.uniform(math.log(0.01), math.log(0.15))))
    distance = _blob(radius, rng, 0.6)
    centre = _start(shape, rng)
    where = rng.random()
    if where < 0.4:
        centre = np.array([rng.choice([0, shape[1]]), rng.choice([0, shape[0]])], float)
    elif where < 0.7:
        centre[int(rng.integers(2))] *= 0
    top, left = round(centre[1] - len(distance) / 2), round(centre[0] - len(distance) / 2)
    rim = np.clip(1 - np.abs(distance + scale) / (2 * scale), 0, 1) * np.float32(0.5)
    yield Artefact(top, left, np.asarray(rim, np.float32), dark(rng))
    opacity = np.clip(distance / np.float32(scale) + 0.5, 0, 1, dtype=np.float32)
    fibres = _smooth_noise(opacity.shape, 2 * scale, rng, 0.93, 1.0)
    yield Artefact(top, left, opacity, paper(rng) * fibres[..., None])


def _worn_edge(
    shape: tuple[int, int], rng: np.random.Generator, scale: float
) -> Iterator[Artefact]:
    """One side of the print, rubbed off to the paper, ragged, in places deeper."""
    side = int(rng.integers(4))
    along = shape[1] if side < 2 else shape[0]
    depth = scale * float(np.exp(rng.uniform(math.log(1.0), math.log(7))))
    reach = min(math.ceil(6 * depth) + 4, min(shape))
    positions = np.arange(along, dtype=np.float32)
    edge = np.zeros(along, np.float32)
    for size, share in ((80, 1.0), (20, 0.7), (6, 0.5), (2, 0.25)):
        noise = _smooth_noise((2, along), size * scale, rng, -1, 1)[0]
        edge += depth * np.float32(share) * noise
    # Worn away in some places only, most of all at the corners.
    ends = np.exp(-np.minimum(positions, along - positions) / (30 * scale)) * depth * 2
    edge += np.asarray(ends * rng.uniform(0, 1), np.float32) - depth * np.float32(rng.uniform(0, 1))
    distance = edge[None] - np.arange(reach, dtype=np.float32)[:, None]
    opacity = np.clip(distance / np.float32(scale) + 0.5, 0, 1)
    rim = np.clip(1 - np.abs(distance + scale) / (1.5 * scale), 0, 1) * np.float32(0.4)
    fibres = _smooth_noise(opacity.shape, 2 * scale, rng, 0.9, 1.0)[..., None]
    worn = paper(rng) * fibres
    layers = [(np.asarray(opacity, np.float32), worn)]
    if rng.random() < 0.6:
        layers.insert(0, (np.asarray(rim, np.float32), np.broadcast_to(dark(rng), worn.shape)))
    for layer, colour in layers:
        # Drawn for the top; turned for the others.
        if side == 1:
            yield Artefact(shape[0] - reach, 0, layer[::-1], np.asarray(colour)[::-1])
        elif side == 2:
            yield Artefact(0, 0, layer.T, np.asarray(colour).transpose(1, 0, 2))
        elif side == 3:
            flipped = np.asarray(colour).transpose(1, 0, 2)[:, ::-1]
            yield Artefact(0, shape[1] - reach, layer.T[:, ::-1], flipped)
        else:
            yield Artefact(0, 0, layer, np.asarray(colour))


def _dust(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A sprinkling of specks, all bright (in a negative) or all dark (on a print)."""
    bright = rng.random() < 0.6
    for _ in range(int(rng.integers(5, 60))):
        radius = scale * float(np.exp(rng.uniform(math.log(0.5), math.log(3.5))))
        distance = _blob(radius, rng, 0.5)
        opacity = np.clip(distance / np.float32(max(0.6, radius * 0.4)) + 0.5, 0, 1)
        colour = paper(rng) if bright else dark(rng)
        x, y = _start(shape, rng)
        strength = np.float32(rng.uniform(0.4, 1))
        yield Artefact(round(y), round(x), np.asarray(opacity * strength, np.float32), colour)


def _hair(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A hair: thin, even, curling."""
    length = scale * rng.uniform(25, 220)
    points = _path(_start(shape, rng), rng.uniform(0, 2 * math.pi), length, rng.uniform(1, 6), rng)
    # A hair has no corners.
    fine = np.linspace(0, len(points) - 1, 4 * len(points))
    kernel = np.hanning(9) / np.hanning(9).sum()
    smooth = [np.interp(fine, np.arange(len(points)), points[:, axis]) for axis in (0, 1)]
    curve = np.stack([np.convolve(np.pad(s, 4, "edge"), kernel, "valid") for s in smooth], 1)
    drawn = draw_paths([(curve, np.full(len(curve), scale * rng.uniform(0.7, 2.0)))], shape,
                   scale * rng.uniform(0.2, 0.6))  # fmt: skip
    if drawn:
        top, left, opacity = drawn
        colour = dark(rng) if rng.random() < 0.65 else paper(rng)
        yield Artefact(top, left, opacity * np.float32(rng.uniform(0.5, 1)), colour)


def _lint(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A small tangle of short fibres."""
    centre, colour = _start(shape, rng), paper(rng) if rng.random() < 0.6 else dark(rng)
    paths = []
    for _ in range(int(rng.integers(2, 7))):
        points = _path(centre + rng.normal(0, 4 * scale, 2), rng.uniform(0, 2 * math.pi),
                       scale * rng.uniform(8, 45), rng.uniform(2, 7), rng)  # fmt: skip
        paths.append((points, np.full(len(points), scale * rng.uniform(0.6, 1.6))))
    drawn = draw_paths(paths, shape, scale * rng.uniform(0.2, 0.7))
    if drawn:
        top, left, opacity = drawn
        yield Artefact(top, left, opacity * np.float32(rng.uniform(0.4, 1)), colour)


def _stain(shape: tuple[int, int], rng: np.random.Generator, scale: float) -> Iterator[Artefact]:
    """A dried drop: a tint within, and a darker rim where it dried last."""
    radius = min(shape) * float(np.exp(rng.uniform(math.log(0.015), math.log(0.18))))
    distance = _blob(radius, rng, 0.35)
    soft = scale * rng.uniform(1.5, 8)
    inside = np.clip(distance / np.float32(soft) + 0.5, 0, 1)
    rim = np.exp(-np.square(distance - soft / 2) / np.float32(2 * (soft / 2) ** 2))
    tint, edge = rng.uniform(0.03, 0.3), rng.uniform(0.05, 0.5)
    blotches = _smooth_noise(distance.shape, radius / 2, rng, 0.4, 1.0)
    opacity = np.clip(inside * tint * blotches + rim * edge * inside, 0, 0.9)
    light = rng.uniform(0.1, 0.5) if rng.random() < 0.75 else rng.uniform(0.8, 1)
    colour = np.array([light, light * rng.uniform(0.6, 1), light * rng.uniform(0.3, 1)], np.float32)
    x, y = _start(shape, rng) - len(distance) / 2
    yield Artefact(round(y), round(x), np.asarray(opacity, np.float32), colour)


Kind = Callable[[tuple[int, int], np.random.Generator, float], Iterator[Artefact]]

#: By name: what draws it, how often it befalls a photo, and how many of it at most.
KINDS: dict[str, tuple[Kind, float, int]] = {
    "stain": (_stain, 0.35, 4),
    "crease": (_crease, 0.3, 2),
    "fold": (_fold, 0.2, 2),
    "crack": (_crack, 0.4, 4),
    "scratch": (_scratch, 0.8, 14),
    "nicks": (_nicks, 0.4, 2),
    "peel": (_peel, 0.3, 5),
    "worn edge": (_worn_edge, 0.25, 3),
    "dust": (_dust, 0.6, 2),
    "hair": (_hair, 0.45, 6),
    "lint": (_lint, 0.3, 5),
}
