"""Mask: read, polarity, fit to the photo; grow, close gaps, drop specks; show on the photo.

A mask is bool, (height, width), True where the photo is damaged. On disk white is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inpaintcli import photo
from inpaintcli.arrays import Mask, Pixels, size
from inpaintcli.errors import PhotoError
from inpaintcli.photo import Photo

#: By how much a distance in float may be off.
_ROUNDING = 1e-3
#: In so many directions, evenly over half a turn, gaps are closed.
DIRECTIONS = 16


def read(
    path: Path | photo.File,
    *,
    invert: bool = False,
    max_pixels: int = photo.MAX_PIXELS,
    page: int | None = None,
) -> Mask:
    """Read a mask from any picture that is a photo, of 8 or 16 bits.

    In an opaque picture, light is damaged: luminance above half. In a picture with transparency,
    the strokes are damaged, whatever their colour: opacity above half.

    Args:
        path: The picture; as for `photo.read`.
        invert: Take the rest for damaged instead.
        max_pixels: As for `photo.read`.
        page: As for `photo.read`.

    Raises:
        PhotoError: The file cannot be read, as for `photo.read`.
    """
    picture = photo.read(path, max_pixels=max_pixels, page=page)
    full = int(np.iinfo(picture.pixels.dtype).max)
    alpha = picture.alpha
    half = full // 2
    # A speck of not quite opaque pixels is no layer of strokes.
    values = _luminance(picture.colour) if alpha is None or alpha.min() > half else alpha
    return values <= half if invert else values > half


def read_for(
    path: Path, shape: tuple[int, int], *, invert: bool = False, scale: bool = False
) -> Mask:
    """Read the mask of a photo of `shape` (height, width); `scale` fits one of another size.

    Raises:
        PhotoError: As for `read`, or see `adapt`.
    """
    return adapt(read(path, invert=invert), path, shape, scale=scale)


def adapt(mask: Mask, path: Path, shape: tuple[int, int], *, scale: bool = False) -> Mask:
    """The mask at the size of a photo of `shape` (height, width); `path` is for messages.

    Raises:
        PhotoError: The size is another and `scale` is not asked for, or the mask lies on its side.
    """
    if mask.shape == shape:
        return mask
    if mask.shape == shape[::-1]:
        raise PhotoError(
            f"{path}: the mask lies on its side: it must fit the photo as it is shown, upright"
        )
    if not scale:
        raise PhotoError(
            f"{path}: the mask is {size(mask.shape)}, the photo {size(shape)}: --fit-mask scales it"
        )
    return fit(mask, shape)


def same_proportions(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """True if one (height, width) is the other at another scale, but for a pixel of rounding."""
    return abs(a[1] / b[1] / (a[0] / b[0]) - 1) <= 0.02 + 2 / min(*a, *b)


def write(mask: Mask | Sequence[Mask], path: Path) -> None:
    """Write a mask as 8-bit grey, 255 where damaged, in the lossless format that `path` names;
    several as the pages of a TIFF.

    Raises:
        PhotoError: As for `photo.write`.
    """
    several = [mask] if isinstance(mask, np.ndarray) else mask
    photo.write([Photo((one * np.uint8(255))[..., None]) for one in several], path)


def fit(mask: Mask, shape: tuple[int, int]) -> Mask:
    """The mask, scaled to another size, without losing the thinnest line.

    Where it shrinks, a pixel is damaged if any pixel that it covers was, in part or whole; where
    it grows, a pixel is what the nearest one was. A mask that fits already is returned as it is.

    Args:
        mask: (height, width), at least one pixel.
        shape: The new height and width, each at least 1.

    Raises:
        ValueError: A side is 0.
    """
    if 0 in mask.shape or min(shape) < 1:
        raise ValueError(f"cannot fit a mask of {mask.shape} to {shape}")
    for axis, length in enumerate(shape):
        mask = _fit_axis(mask, length, axis)
    return mask


def _fit_axis(mask: Mask, size: int, axis: int) -> Mask:
    old = mask.shape[axis]
    if size == old:
        return mask
    places = np.arange(size)
    if size > old:
        enlarged: Mask = np.take(mask, (2 * places + 1) * old // (2 * size), axis)
        return enlarged
    firsts = places * old // size
    # A source pixel across the edge of two counts for both; the reduction gives it to one.
    lasts = -(-(places + 1) * old // size) - 1
    reduced: Mask = np.logical_or.reduceat(mask, firsts, axis)
    reduced |= np.take(mask, lasts, axis)
    return reduced


def grow(mask: Mask, pixels: int) -> Mask:
    """The mask with all that lies within `pixels` of it, in a straight line.

    Args:
        mask: (height, width).
        pixels: The radius; 0 returns the mask as it is.

    Raises:
        ValueError: `pixels` is negative.
    """
    if pixels < 0:
        raise ValueError(f"cannot grow a mask by {pixels} pixels")
    if pixels == 0:
        return mask
    import cv2

    if not mask.any():
        return mask
    # The distance of every known pixel to the damage: as fast for 1 px as for 1000.
    known = (~mask).view(np.uint8)
    distance = cv2.distanceTransform(known, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= pixels + _ROUNDING)


def close_gaps(mask: Mask, pixels: int) -> Mask:
    """The mask with its gaps of up to `pixels` filled: what lies on a straight line between two
    damaged places no farther apart.

    It is closed by lines in `DIRECTIONS`, and not by a disc: a scratch is thin, and a disc that
    dips in from its side finds its gaps open. Nothing grows towards the photo's edge.

    Args:
        mask: (height, width).
        pixels: The longest gap; 0 returns the mask as it is. Time grows with it.

    Raises:
        ValueError: `pixels` is negative.
    """
    if pixels < 0:
        raise ValueError(f"cannot close gaps of {pixels} pixels")
    if pixels == 0 or not mask.any():
        return mask
    import cv2

    # Room for what spreads beyond the edge, for it has to shrink back from there.
    around = np.pad(mask, pixels).view(np.uint8)
    closed = around.copy()
    for line in _lines(pixels):
        spread = cv2.dilate(around, line, anchor=(0, 0))
        back = np.ascontiguousarray(line[::-1, ::-1])
        end = (line.shape[1] - 1, line.shape[0] - 1)
        closed |= np.asarray(cv2.erode(spread, back, anchor=end), np.uint8)
    inside = np.s_[pixels : pixels + mask.shape[0], pixels : pixels + mask.shape[1]]
    return closed[inside].astype(np.bool_)


def _lines(pixels: int) -> list[NDArray[np.uint8]]:
    """Lines that are just too long to fit into gaps of `pixels`, as small pictures."""
    lines: list[NDArray[np.uint8]] = []
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        step = np.array([np.sin(angle), np.cos(angle)])
        slope = step / np.abs(step).max()
        number = max(2, round(pixels * np.abs(step).max()) + 1)
        places = np.rint(np.arange(number)[:, None] * slope).astype(int)
        places -= places.min(0)
        line = np.zeros(places.max(0) + 1, np.uint8)
        line[tuple(places.T)] = 1
        if not any(np.array_equal(line, other) for other in lines):
            lines.append(line)
    return lines


def drop_small(mask: Mask, area: int) -> Mask:
    """The mask without its regions of fewer than `area` pixels.

    Pixels that touch, at a corner too, are of one region.
    """
    if area <= 1 or not mask.any():
        return mask
    import cv2

    bytes_ = np.ascontiguousarray(mask).view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bytes_, connectivity=8)
    stays = stats[:, cv2.CC_STAT_AREA] >= area
    stays[0] = False  # What is undamaged.
    return np.asarray(stays[labels])


def count_regions(mask: Mask) -> int:
    """How many regions a mask has; pixels that touch, at a corner too, are of one."""
    import cv2

    number, _ = cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)
    return int(number) - 1


@dataclass(frozen=True)
class MaskTools:
    """What is done to a mask wherever it comes from; nothing by default.

    Raises:
        ValueError: A number is negative.
    """

    #: Gaps of up to so many pixels are filled, see the function of that name.
    close_gaps: int = 0
    #: Regions of fewer pixels are dropped.
    min_area: int = 0
    #: What lies within so many pixels of damage is damaged too.
    grow: int = 0

    def __post_init__(self) -> None:
        if min(self.close_gaps, self.min_area, self.grow) < 0:
            raise ValueError(f"{self}: no number may be negative")

    def apply(self, mask: Mask, exclude: Mask | None = None) -> Mask:
        """The mask with gaps closed, then small regions dropped, then grown, then without
        `exclude` (of the same shape), which has the last word; the mask itself stays as it is.

        In this order dots that make up one scratch are no specks, and specks do not grow.
        """
        mask = close_gaps(mask, self.close_gaps)
        mask = drop_small(mask, self.min_area)
        mask = grow(mask, self.grow)
        return mask if exclude is None else mask & ~exclude


def overlay(pixels: Pixels, mask: Mask) -> Pixels:
    """The photo with its damage tinted red and outlined, to look at: uint8 (h, w, 3).

    Args:
        pixels: uint8 or uint16 (h, w, c); alpha is left out.
        mask: (h, w). Its outline lies around it and is the wider the larger the photo, so that the
            thinnest scratch shows on a screen.
    """
    red = np.array([255, 0, 0], np.uint8)
    colour = pixels[..., : 1 if pixels.shape[2] < 3 else 3]
    shown = np.empty((*mask.shape, 3), np.uint8)
    np.right_shift(colour, 8 * (pixels.itemsize - 1), out=shown, casting="unsafe")
    shown[mask] = shown[mask] // 2 + red // 2
    shown[grow(mask, max(1, max(mask.shape) // 1000)) & ~mask] = red
    return shown


def _luminance(colour: Pixels) -> Pixels:
    """(height, width) of (height, width, 1 or 3)."""
    if colour.shape[2] == 1:
        return colour[..., 0]
    import cv2

    luminance = cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY)
    return luminance.astype(colour.dtype, copy=False)
