"""Fill the damage of a photo with an inpainter: coarse to fine, tile by tile.

A network that looks at 32 px cannot know what belongs in the middle of a wide hole. So damage
deeper than its reach is first filled in the photo at half size, which asks the same question
there, and the result, enlarged, is handed to the next finer size. What becomes of it there depends
on the method's card:

* a method that is given zeros keeps it in the middle, and fills the rim between that and the
  photo;
* a method that is given a first guess (`prior`) is given it, and fills all of the damage anew.
  Where the photo at half size needs no filling of its own, the guess is the plain mean of what is
  known there: halved until nothing is missing and doubled back (push-pull: Gortler et al. 1996,
  "The Lumigraph").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from inpaintcli import pyramid, tiling
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.errors import GpuMemoryError
from inpaintcli.inpainters.base import Card, Inpainter
from inpaintcli.resident import Resident

#: Tiles of about this many pixels are run in one call on a CPU: more takes memory and is no faster.
BATCH_PIXELS = 65_536


class Progress(Protocol):
    """Told how far a photo is: `done` of its `total` tiles, over all levels."""

    def __call__(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Level:
    """The photo at one size: full, half, a quarter, and so on.

    pixels: (h, w, 3), filled in place. damage: what the inpainter must not take for known.
    wanted: the part of it that the inpainter fills here. lent: the part that comes from the next
    coarser level first.
    """

    pixels: Pixels
    damage: Mask
    wanted: Mask
    lent: Mask


def fill(
    pixels: Pixels,
    mask: Mask,
    inpainter: Inpainter,
    tile: int | None,
    overlap: int,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Fill the damaged pixels of (h, w, 3), in place; no other pixel is written to.

    tile, overlap: pixels; tile None takes the photo whole. batch_size: tiles per call.
    """
    run = _Run(inpainter, tile, overlap, batch_size, progress)
    levels = _levels(pixels, mask, reach_of(inpainter.card, tile), inpainter.card.prior)
    run.total = sum(run.count(level) for level in levels)
    below: Pixels | None = None
    while levels:
        level = levels.pop()  # Gone when it is done: of a large photo all sizes would be much.
        if below is not None:
            shape = (level.lent.shape[0], level.lent.shape[1])
            for top, strip in pyramid.doubled(below, shape):
                rows = np.s_[top : top + len(strip)]
                _put(level.pixels[rows], level.lent[rows], strip)
            below = None
        if level.wanted.any():
            run.fill(level)
        below = level.pixels


def reach_of(card: Card, tile: int | None) -> int | None:
    """How many pixels deep damage is filled in one go; None where any depth is.

    Never so deep that a whole tile could be damage: there would be nothing to fill it from.
    """
    if tile is None:
        return None
    return max(1, min(card.reach or tile, tile // 2 - 1))


def _levels(pixels: Pixels, mask: Mask, reach: int | None, prior: bool) -> list[Level]:
    """The levels of a photo from fine to coarse, as many as its deepest damage needs."""
    levels = []
    wanted = mask
    while True:
        deep = np.zeros_like(mask)
        if reach is not None and wanted.any():
            deep = pyramid.deeper_than(wanted, reach)
        if prior:
            levels.append(Level(pixels, mask, wanted, mask))
        else:
            levels.append(Level(pixels, mask & ~deep, mask & ~deep, deep))
        if not (mask if prior else deep).any():
            return levels
        # A known pixel stays known at half size, so the damage shrinks to nothing in the end.
        pixels, mask = pyramid.halved(pixels, mask)
        # Around what is too deep all of the damage is filled at half size, up to the known pixels.
        # Where nothing is, nothing is: the smaller sizes then only make the first guess.
        wanted = pyramid.near(deep, 2 * (reach or 0), mask) if prior else mask


class _Run:
    """How tiles are cut and run, and how many are done."""

    def __init__(
        self,
        inpainter: Inpainter,
        tile: int | None,
        overlap: int,
        batch_size: int | None,
        progress: Progress | None,
    ):
        self.inpainter = inpainter
        self.tile = tile
        self.overlap = overlap
        self.batch_size = batch_size
        self.progress = progress
        self.done = self.total = 0

    def count(self, level: Level) -> int:
        """How many tiles a level takes."""
        if self.tile is None or not level.wanted.any():
            return int(level.wanted.any())
        return tiling.count(tiling.plan(level.wanted, self._grid(level)))

    def fill(self, level: Level) -> None:
        """Fill what is wanted of a level, in place."""
        if self.tile is None:
            self._whole(level)
        else:
            self._tiles(level)

    def _grid(self, level: Level) -> tiling.Grid:
        """Tiles no larger than they need be, down to the card's `patch`; without one all are as
        large as asked for, or as the card's `tile` if that is smaller."""
        assert self.tile is not None
        card = self.inpainter.card
        height, width = level.wanted.shape
        least = card.patch or card.tile or 0
        reach = reach_of(card, self.tile)
        if reach and not card.prior:
            # Whatever is filled in one go must have something known in its tile.
            least = max(least, 2 * reach + 2)
        least = min(self.tile, -(-least // card.multiple) * card.multiple)
        margin = min(card.margin, self.tile // 4)
        return tiling.fitted((height, width), self.tile, self.overlap, margin, card.multiple, least)

    def _tiles(self, level: Level) -> None:
        grid = self._grid(level)
        batch = self.batch_size or max(1, BATCH_PIXELS // (grid.height * grid.width))
        resident: Resident | None = getattr(self.inpainter, "resident", None)
        if resident is not None:
            if self._on_gpu(resident, level, grid):
                return
            batch = 1  # What least memory is needed for.
        shape = (level.wanted.shape[0], level.wanted.shape[1])
        blend = tiling.Blend(shape, grid)
        rows_of_tiles = tiling.plan(level.wanted, grid)
        # Filled pixels must not be read by the next row of tiles as if they were known, so the
        # mask stays as it is while the pixels change beneath it.
        for row in rows_of_tiles:
            blend.start(row)
            for start in range(0, len(row.lefts), batch):
                lefts = row.lefts[start : start + batch]
                images, masks = tiling.gather(
                    level.pixels, level.damage, row.top, lefts, grid,
                    guessed=self.inpainter.card.prior,
                )  # fmt: skip
                blend.add(lefts, self.inpainter(images, masks))
                self._report(len(lefts))
            top, strip = blend.finish(row)
            rows = np.s_[top : top + len(strip)]
            _put(level.pixels[rows], level.wanted[rows], strip)

    def _on_gpu(self, resident: Resident, level: Level, grid: tiling.Grid) -> bool:
        """Fill what is wanted in the memory of the GPU; False where it has too little, with nothing
        changed."""
        pixels = level.pixels
        if not self.inpainter.card.prior:
            pixels = pixels.copy()
            pixels[level.damage] = 0
        before = self.done
        guesses: list[Pixels] = []
        try:
            for places, values in resident.run(
                {"image": pixels, "mask": level.damage},
                tiling.plan(level.wanted, grid),
                grid,
                channels=3,
                wanted=level.wanted,
                batch=self.batch_size,
                done=self._report,
            ):
                guesses.append(level.pixels[places])
                level.pixels[places] = _rounded(values, level.pixels.dtype)
        except GpuMemoryError:
            self.done = before
            # They were filled from top to bottom.
            filled = sum(map(len, guesses))
            if filled:
                y, x = np.nonzero(level.wanted)
                level.pixels[y[:filled], x[:filled]] = np.concatenate(guesses)
            return False
        return True

    def _whole(self, level: Level) -> None:
        masks = level.damage[None, None].astype(np.float32)
        scale = np.float32(1 / np.iinfo(level.pixels.dtype).max)
        images = level.pixels.transpose(2, 0, 1)[None] * scale
        if not self.inpainter.card.prior:
            images *= 1 - masks
        _put(level.pixels, level.wanted, self.inpainter(images, masks)[0].transpose(1, 2, 0))
        self._report(1)

    def _report(self, tiles: int) -> None:
        self.done += tiles
        if self.progress:
            self.progress(self.done, self.total)


def _put(pixels: Pixels, mask: Mask, values: Floats) -> None:
    """Set the damaged pixels to float values in [0, 1], rounded to the depth of `pixels`."""
    # Most photos have little damage: places are faster to go by than the mask, and fastest to find
    # on a single axis.
    places = np.divmod(np.flatnonzero(mask), mask.shape[1])
    pixels[places] = _rounded(values[places], pixels.dtype)


def _rounded(values: Floats, depth: np.dtype[Any]) -> Pixels:
    """Values in [0, 1], or what exceeds that cut off, as whole numbers."""
    return np.rint(np.clip(values, 0, 1) * np.iinfo(depth).max).astype(depth)
