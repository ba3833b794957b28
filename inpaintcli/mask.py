"""Mask: read, polarity, fit to the photo, grow.

A mask is bool, (height, width), True where the photo is damaged. On disk white is damaged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inpaintcli import photo
from inpaintcli.arrays import Mask, Pixels, size
from inpaintcli.errors import PhotoError
from inpaintcli.photo import Photo


def read(path: Path, *, invert: bool = False) -> Mask:
    """Read a mask from any picture that is a photo, of 8 or 16 bits.

    In an opaque picture, light is damaged: luminance above half. In a picture with transparency,
    the strokes are damaged, whatever their colour: opacity above half.

    Args:
        path: The picture.
        invert: Take the rest for damaged instead.

    Raises:
        PhotoError: The file cannot be read, as for `photo.read`.
    """
    picture = photo.read(path)
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


def write(mask: Mask, path: Path) -> None:
    """Write a mask as 8-bit grey, 255 where damaged, in the lossless format that `path` names.

    Raises:
        PhotoError: As for `photo.write`.
    """
    photo.write(Photo(mask[..., None] * np.uint8(255)), path)


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
    return np.asarray(distance <= pixels + 1e-3)


def _luminance(colour: Pixels) -> Pixels:
    """(height, width) of (height, width, 1 or 3)."""
    if colour.shape[2] == 1:
        return colour[..., 0]
    import cv2

    luminance = cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY)
    return luminance.astype(colour.dtype, copy=False)
