"""Mask: read, polarity, fit to the photo, grow.

A mask is bool, (height, width), True where the photo is damaged. On disk white is damaged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inpaintcli import photo
from inpaintcli.arrays import Mask, Pixels
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
    values = _luminance(picture.colour) if alpha is None or alpha.min() == full else alpha
    half = full // 2
    return values <= half if invert else values > half


def read_for(
    path: Path, shape: tuple[int, int], *, invert: bool = False, scale: bool = False
) -> Mask:
    """Read the mask of a photo of `shape` (height, width); `scale` fits one of another size.

    Raises:
        PhotoError: As for `read`, or the size is another and `scale` is not asked for.
    """
    mask = read(path, invert=invert)
    if mask.shape == shape:
        return mask
    if not scale:
        raise PhotoError(
            f"{path}: the mask is {mask.shape[1]}x{mask.shape[0]}, the photo "
            f"{shape[1]}x{shape[0]}: --fit-mask scales it"
        )
    return fit(mask, shape)


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
    for axis, size in enumerate(shape):
        mask = _fit_axis(mask, size, axis)
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

    across = np.arange(-pixels, pixels + 1) ** 2
    disc = (across[:, None] + across <= pixels**2).astype(np.uint8)
    grown = cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), disc)
    return np.asarray(grown, np.uint8).view(np.bool_)


def _luminance(colour: Pixels) -> Pixels:
    """(height, width) of (height, width, 1 or 3)."""
    if colour.shape[2] == 1:
        return colour[..., 0]
    import cv2

    luminance = cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY)
    return luminance.astype(colour.dtype, copy=False)
