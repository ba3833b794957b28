"""Photo and mask in, restored photo out: levels from coarse to fine, tile by tile in each.

A network that looks at 32 px cannot know what belongs in the middle of a wide hole. So damage
deeper than its reach is first filled in the photo at half size, which asks the same question
there; the result, enlarged, takes the middle's place, and at full size the network only has to
fill the rim, with something to lead over to on either side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from inpaintcli import pyramid, tiling
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.errors import PhotoError, UsageError
from inpaintcli.inpainters.base import Card, Inpainter
from inpaintcli.inpainters.registry import DEFAULT, load_model


class Progress(Protocol):
    """Told how far a restore is: `done` of `total` tiles; `total` grows with every level."""

    def __call__(self, done: int, total: int) -> None: ...


def restore(
    pixels: Pixels,
    mask: Mask,
    model: str | Path | Inpainter = DEFAULT,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """Fill the damaged pixels of a photo; all others come back bit for bit.

    pixels: uint8 or uint16, (h, w) or (h, w, c) with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or
    4 (RGB, alpha); alpha is passed through. mask: bool (h, w), True = damaged. tile, overlap:
    pixels, from the model's card by default. batch_size: tiles per call of the model.
    Returns a new array of the same shape and depth.

    Raises UsageError for shapes, depths or tile sizes that do not fit, PhotoError where every
    pixel is damaged, ModelError where the model or the device cannot be used.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3):
        raise UsageError(f"pixels must be uint8 or uint16 (h, w, c), not {pixels.dtype}")
    if mask.dtype != np.bool_ or mask.shape != pixels.shape[:2]:
        raise UsageError(
            f"the mask must be bool {pixels.shape[:2]} as the photo, not {mask.dtype} {mask.shape}"
        )
    if not mask.any():
        return pixels.copy()
    if mask.all():
        raise PhotoError("every pixel is damaged: nothing is left to restore from")
    inpainter = (
        load_model(model, device=device, threads=threads)
        if isinstance(model, str | Path)
        else model
    )
    side, lap = tile_of(inpainter.card, tile, overlap)

    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    restored = pixels.copy()
    planes = restored.reshape(*mask.shape, channels)
    colours = 3 if channels >= 3 else 1
    rgb = planes[..., :3].copy() if colours == 3 else np.repeat(planes[..., :1], 3, 2)
    grey = colours == 1 or _is_grey(rgb, mask)
    levels = _Levels(inpainter, side, lap, batch_size or default_batch(side), progress)
    levels.fill(rgb, mask.copy())
    if grey:
        # A network may tint grey by a fraction; the mean of the channels is grey for certain.
        mean = np.rint(rgb[mask].mean(1, dtype=np.float32)).astype(rgb.dtype)
        planes[mask, :colours] = mean[:, None]
    else:
        planes[mask, :3] = rgb[mask]
    return restored


def tile_of(card: Card, tile: int | None, overlap: int | None) -> tuple[int | None, int]:
    """(tile, overlap) in pixels to run a method with; tile None takes the photo whole.

    Raises UsageError where they do not fit each other or the method.
    """
    if card.tile is None:
        if tile is not None or overlap is not None:
            raise UsageError(f"--tile and --overlap: {card.name} takes a photo whole")
        return None, 0
    side = tile or card.tile
    if side < 8 or side % card.multiple:
        raise UsageError(
            f"--tile {side}: {card.name} takes tiles of at least 8 px in multiples of "
            f"{card.multiple} px"
        )
    # A larger tile keeps the overlap: what counts is how far a network looks.
    lap = min(card.overlap, side // 2) if overlap is None else overlap
    if not 0 <= lap < side:
        raise UsageError(f"--overlap {lap}: must be at least 0 and smaller than the tile, {side}")
    return side, lap


def default_batch(side: int | None) -> int:
    """As many tiles as make about 64,000 pixels: more does not run faster, but takes memory."""
    return 1 if side is None else max(1, 65_536 // (side * side))


class _Levels:
    """One restore: the inpainter, how its tiles are cut, and the count of tiles done."""

    def __init__(
        self,
        inpainter: Inpainter,
        tile: int | None,
        overlap: int,
        batch_size: int,
        progress: Progress | None,
    ):
        self.inpainter = inpainter
        self.tile = tile
        self.overlap = overlap
        self.batch_size = batch_size
        self.progress = progress
        self.done = self.total = 0

    def fill(self, pixels: Pixels, mask: Mask) -> None:
        """Fill the damaged pixels of (h, w, 3), in place. `mask` is used up."""
        if self.tile is None:
            self._whole(pixels, mask)
            return
        reach = self.inpainter.card.reach
        if reach is not None:
            deep = pyramid.deeper_than(mask, reach)
            if deep.any():
                coarse, coarse_mask = pyramid.halved(pixels, mask)
                if coarse_mask.any():
                    self.fill(coarse, coarse_mask)
                for top, strip in pyramid.doubled(coarse, (mask.shape[0], mask.shape[1])):
                    rows = np.s_[top : top + len(strip)]
                    _put(pixels[rows], deep[rows], strip)
                mask &= ~deep
        self._tiles(pixels, mask)

    def _tiles(self, pixels: Pixels, mask: Mask) -> None:
        assert self.tile is not None
        height, width = mask.shape
        # No tile need be larger than the photo, unless the model was made for larger ones.
        card = self.inpainter.card
        side = min(self.tile, max(card.tile or 0, _up_to(max(height, width), card.multiple)))
        overlap = min(self.overlap, side - 1)
        canvas, holes = tiling.padded(pixels, mask, side, side)
        rows = tiling.plan(holes, side, overlap)
        self._report(0, tiling.count(rows))
        blend = tiling.Blend(holes.shape[1], side, overlap)
        # Filled pixels must not be read by the next row of tiles as if they were known, so the
        # mask stays as it is while `pixels` changes beneath it.
        for row in rows:
            blend.start(row)
            for start in range(0, len(row.lefts), self.batch_size):
                lefts = row.lefts[start : start + self.batch_size]
                images, masks = tiling.gather(canvas, holes, row.top, lefts, side)
                blend.add(lefts, self.inpainter(images, masks))
                self._report(len(lefts), 0)
            top, strip = blend.finish(row)
            end = min(top + len(strip), height)
            if top < end:
                _put(pixels[top:end], mask[top:end], strip[: end - top, :width])

    def _whole(self, pixels: Pixels, mask: Mask) -> None:
        height, width = mask.shape
        multiple = self.inpainter.card.multiple
        canvas, holes = tiling.padded(
            pixels, mask, _up_to(height, multiple), _up_to(width, multiple)
        )
        self._report(0, 1)
        scale = np.float32(1 / np.iinfo(pixels.dtype).max)
        image = canvas.transpose(2, 0, 1)[None] * scale
        holes_4d = holes[None, None].astype(np.float32)
        image *= 1 - holes_4d
        restored = self.inpainter(image, holes_4d)[0, :, :height, :width]
        _put(pixels, mask, restored.transpose(1, 2, 0))
        self._report(1, 0)

    def _report(self, done: int, found: int) -> None:
        self.done += done
        self.total += found
        if self.progress:
            self.progress(self.done, self.total)


def _up_to(length: int, multiple: int) -> int:
    """The smallest multiple that is at least `length`."""
    return -(-length // multiple) * multiple


def _put(pixels: Pixels, mask: Mask, values: Floats) -> None:
    """Set the damaged pixels to float values in [0, 1], rounded to the depth of `pixels`."""
    top = np.iinfo(pixels.dtype).max
    pixels[mask] = np.rint(np.clip(values[mask], 0, 1) * top).astype(pixels.dtype)


def _is_grey(rgb: Pixels, mask: Mask) -> bool:
    """True where every undamaged pixel of (h, w, 3) has equal channels."""
    for top in range(0, len(rgb), pyramid.STRIP):
        known = rgb[top : top + pyramid.STRIP][~mask[top : top + pyramid.STRIP]]
        if (known != known[:, :1]).any():
            return False
    return True
