"""Where tiles lie, how they are cut out of a photo, and how their results blend. Pure NumPy.

Tiles form a regular grid of rectangles that overlap their neighbours. It reaches `margin` pixels
beyond the photo, where tiles see its mirror image: no damaged pixel then lies at the edge of what
a network sees. Only tiles that touch damage are cut out; where damage is looked for, all may hold
some. Rows of tiles are worked off from top to bottom, so that no more than one row of float pixels
is ever held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels


@dataclass(frozen=True)
class Grid:
    """Height and width of the tiles, by how much neighbours overlap, and how far the grid reaches
    beyond the photo, all in pixels; 0 <= overlap, margin < height, width."""

    height: int
    width: int
    overlap: int = 0
    margin: int = 0


@dataclass(frozen=True)
class Row:
    """One row of tiles: `top` of them all, and the `lefts` of those that touch damage.

    `below` is the top of the next row, or the photo's height: no later tile reaches above it.
    """

    top: int
    below: int
    lefts: tuple[int, ...]


def starts(length: int, tile: int, overlap: int, margin: int = 0) -> list[int]:
    """Offsets of tiles that cover `length` pixels and `margin` before and behind them.

    The first is -margin. Neighbours overlap by `overlap` pixels (0 <= overlap < tile), the last
    two by at least that. Raises ValueError where overlap or margin (0 <= margin < tile) do not fit.
    """
    if not 0 <= overlap < tile or not 0 <= margin < tile:
        raise ValueError(f"overlap {overlap} and margin {margin} do not fit tiles of {tile} px")
    span = length + 2 * margin
    offsets = list(range(0, max(1, span - overlap), tile - overlap))
    if span > tile:
        offsets[-1] = span - tile
    return [offset - margin for offset in sorted(set(offsets))]


def fitted(
    shape: tuple[int, int], tile: int, overlap: int, margin: int, multiple: int = 1, least: int = 1
) -> Grid:
    """The grid for a photo of `shape` with tiles of at most `tile` px: as many as that takes, but
    of the smallest sides with which they still cover it.

    Sides are multiples of `multiple`, as `tile` must be, and at least `least` px.
    """

    def side(length: int) -> int:
        span = length + 2 * margin
        number = 1 if span <= tile else -(-(span - overlap) // (tile - overlap))
        enough = -(-(span - overlap) // number) + overlap
        return min(tile, max(least, -(-enough // multiple) * multiple))

    height, width = (side(length) for length in shape)
    return Grid(height, width, min(overlap, height - 1, width - 1), margin)


def plan(mask: Mask, grid: Grid) -> list[Row]:
    """The tiles that touch damage in a bool (h, w) mask, row by row; rows without any left out."""
    height, width = mask.shape
    lefts = np.asarray(starts(width, grid.width, grid.overlap, grid.margin))
    begins, ends = np.clip(lefts, 0, width), np.clip(lefts + grid.width, 0, width)
    found: list[tuple[int, tuple[int, ...]]] = []
    for top in starts(height, grid.height, grid.overlap, grid.margin):
        damaged = np.concatenate([[0], np.cumsum(mask[max(0, top) : top + grid.height].any(0))])
        touched = damaged[ends] > damaged[begins]
        if touched.any():
            found.append((top, tuple(lefts[touched].tolist())))
    belows = [*(top for top, _ in found[1:]), height]
    return [Row(top, below, touched) for (top, touched), below in zip(found, belows, strict=False)]


def count(rows: Sequence[Row]) -> int:
    """How many tiles a plan has."""
    return sum(len(row.lefts) for row in rows)


def cut(pixels: Pixels | Mask, top: int, lefts: tuple[int, ...], grid: Grid) -> Floats:
    """Cut tiles out of (h, w, c) pixels: (N, c, height, width) in [0, 1]; of a mask 0 and 1.

    Beyond the photo lies its mirror image.
    """
    height, width, channels = pixels.shape
    tiles = np.empty((len(lefts), channels, grid.height, grid.width), np.float32)
    kind: np.dtype[Any] = pixels.dtype
    scale = np.float32(1 if kind == np.bool_ else 1 / np.iinfo(kind).max)
    rows = _mirrored(top, grid.height, height)
    for tile, left in zip(tiles, lefts, strict=True):
        columns = _mirrored(left, grid.width, width)
        planes = pixels[rows][:, columns].transpose(2, 0, 1)
        np.multiply(planes, scale, out=tile)
    return tiles


def gather(
    pixels: Pixels,
    mask: Mask,
    top: int,
    lefts: tuple[int, ...],
    grid: Grid,
    *,
    guessed: bool = False,
) -> tuple[Floats, Floats]:
    """Cut tiles out of (h, w, 3) pixels: images (N, 3, height, width) in [0, 1] and masks
    (N, 1, height, width), 1 = damaged. Damaged pixels are 0, or, where they hold a first guess
    (`guessed`), what they are.

    Beyond the photo lies its mirror image, in which mirrored damage is damage.
    """
    images = cut(pixels, top, lefts, grid)
    masks = cut(mask[..., None], top, lefts, grid)
    if not guessed:
        images *= 1 - masks
    return images, masks


def _mirrored(start: int, tile: int, length: int) -> slice | NDArray[np.intp]:
    """What indexes `tile` pixels from `start` on an axis that is mirrored at both its ends."""
    if start >= 0 and start + tile <= length:
        return slice(start, start + tile)
    return mirrored(np.asarray(start), tile, length)


def mirrored(starts: NDArray[np.int64], tile: int, length: int) -> NDArray[np.int64]:
    """The `tile` pixels from each start on, on an axis that is mirrored at both its ends:
    (..., tile), each from 0 to length - 1."""
    places = (starts[..., None] + np.arange(tile)) % (2 * length)
    return np.where(places < length, places, 2 * length - 1 - places)


def shares(length: int, tile: int, overlap: int, margin: int = 0) -> dict[int, Floats]:
    """What each tile on an axis counts for, by its offset (see `starts`): `tile` weights, positive,
    a raised cosine across the overlap. Those of all tiles add up to 1 everywhere."""
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    profile = np.ones(tile)
    # Overlaps of more than half a tile make both ramps meet; their product falls smoothly.
    profile[:overlap] *= ramp
    profile[tile - overlap :] *= ramp[::-1]
    profile = np.maximum(profile, 1e-6)
    offsets = starts(length, tile, overlap, margin)
    total = np.zeros(max(tile, length + 2 * margin))
    for offset in offsets:
        total[offset + margin :][:tile] += profile
    return {
        offset: (profile / total[offset + margin :][:tile]).astype(np.float32) for offset in offsets
    }


@dataclass(frozen=True)
class Axis:
    """Which tiles lie over each pixel of an axis, at most `most` of them.

    All are (length, most): the number of the tile, counted from the first; where in the tile the
    pixel lies; what the tile counts for there. Where fewer tiles lie, the first stands again and
    counts for nothing.
    """

    tiles: NDArray[np.int64]
    places: NDArray[np.int64]
    shares: Floats


def axis(length: int, tile: int, overlap: int, margin: int = 0) -> Axis:
    """The tiles over each of `length` pixels; see `starts` and `shares`."""
    weights = shares(length, tile, overlap, margin)
    offsets = np.asarray(list(weights))
    pixels = np.arange(length)
    first = np.searchsorted(offsets, pixels - tile, side="right")
    last = np.searchsorted(offsets, pixels, side="right") - 1
    tiles = first[:, None] + np.arange((last - first).max() + 1)
    there = tiles <= last[:, None]
    tiles = np.where(there, tiles, first[:, None])
    places = pixels[:, None] - offsets[tiles]
    counted = np.stack(list(weights.values()))[tiles, places] * there
    return Axis(tiles, places, counted.astype(np.float32))


class Blend:
    """Weighted mean of overlapping tiles, handed out strip by strip from top to bottom.

    For every row of a plan call `start`, `add` once or more, and `finish`. What comes out is right
    wherever all tiles were added that lie there, so wherever the plan's mask is True.
    """

    def __init__(self, shape: tuple[int, int], grid: Grid, channels: int = 3):
        self.width, self.grid = shape[1], grid
        self._down = shares(shape[0], grid.height, grid.overlap, grid.margin)
        self._across = shares(shape[1], grid.width, grid.overlap, grid.margin)
        self._top = 0
        #: Rows at the top of the sums that were handed out.
        self._done = 0
        across = max(grid.width, self.width + 2 * grid.margin)
        self._sums = np.zeros((channels, grid.height, across), np.float32)

    def start(self, row: Row) -> None:
        """Go on to a row; what lies between it and the last one has no damage."""
        self._top = row.top
        kept = self.grid.height - self._done
        if kept < self.grid.height:
            self._sums[:, :kept] = self._sums[:, self._done :].copy()
            self._sums[:, kept:] = 0
        self._done = 0

    def add(self, lefts: tuple[int, ...], restored: Floats) -> None:
        """Add (N, channels, height, width) results of tiles in this row that begin at `lefts`."""
        down = self._down[self._top][:, None]
        for left, picture in zip(lefts, restored, strict=True):
            first = left + self.grid.margin
            columns = np.s_[:, :, first : first + self.grid.width]
            self._sums[columns] += picture * (down * self._across[left])

    def finish(self, row: Row) -> tuple[int, Floats]:
        """What no later tile reaches: (first row, float32 (rows, width, channels)), a view that
        lasts until the next row starts.

        Pixels that no tile has touched are 0.
        """
        margin = self.grid.margin
        self._done = min(row.below - self._top, self.grid.height)
        inside = np.s_[:, max(0, -self._top) : self._done, margin : margin + self.width]
        return max(0, self._top), np.moveaxis(self._sums[inside], 0, -1)
