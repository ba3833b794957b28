"""The photo at half size and back, and which damage is too deep for full size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels

#: Rows that are turned to float at a time, so that a large photo needs little memory beside it.
STRIP = 64


def deeper_than(mask: Mask, reach: int) -> Mask:
    """Damaged pixels farther than `reach` px from every known pixel."""
    if reach > 15:
        # An erosion takes time with the square of its reach, distances take the same for any.
        distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(distance > reach)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.erode(mask.view(np.uint8), disc), np.uint8).view(np.bool_)


def near(places: Mask, distance: int, mask: Mask) -> Mask:
    """The pixels of `mask`, the photo's damage at half size, that lie within `distance` px of
    `places`, given at full size."""
    if not places.any():
        return np.zeros_like(mask)
    small = np.zeros_like(mask)
    for one in (places[y::2, x::2] for y in (0, 1) for x in (0, 1)):
        small[: one.shape[0], : one.shape[1]] |= one
    if distance <= 15:
        return np.asarray(mask & (cv2.dilate(small.view(np.uint8), _disc(distance)) > 0))
    elsewhere = np.where(small, np.uint8(0), np.uint8(1))
    apart = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(mask & (apart <= distance))


def _disc(reach: int) -> NDArray[np.uint8]:
    """Ones up to `reach` px from the middle, zeros around them."""
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x**2 + y**2 <= reach**2, np.uint8)


def halved(pixels: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
    """The photo at half size (uint16), each pixel the mean of the known ones among its four.

    Where none of the four is known the pixel is damaged. Odd sides are rounded up.
    """
    height, width = mask.shape
    half = ((height + 1) // 2, (width + 1) // 2)
    small = np.empty((*half, 3), np.uint16)
    small_mask = np.empty(half, np.bool_)
    scale = np.iinfo(np.uint16).max / np.iinfo(pixels.dtype).max
    #: What a mean over four, of which so many are known and the others 0, is multiplied by.
    factors = np.array([0, *(4 * scale / known for known in (1, 2, 3, 4))], np.float32)
    for top in range(0, height, 2 * STRIP):
        rows = np.s_[top : top + 2 * STRIP]
        known = _even((~mask[rows]).view(np.uint8))
        colours = _even(np.ascontiguousarray(pixels[rows]))
        colours = np.asarray(cv2.bitwise_and(colours, colours, mask=known), np.float32)
        size = (colours.shape[1] // 2, colours.shape[0] // 2)
        means = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
        pairs = known[0::2] + known[1::2]
        number = pairs[:, 0::2] + pairs[:, 1::2]
        means *= factors[number][..., None]
        out = np.s_[top // 2 : top // 2 + len(means)]
        small[out] = np.rint(means, out=means)
        small_mask[out] = number == 0
    return small, small_mask


def _even(values: NDArray[Any]) -> NDArray[Any]:
    """(h, w[, c]) with a row and a column of zeros more where they are odd."""
    odd = (0, values.shape[0] % 2, 0, values.shape[1] % 2)
    if not any(odd):
        return values
    return np.asarray(cv2.copyMakeBorder(values, *odd, cv2.BORDER_CONSTANT, value=0))


def doubled(
    pixels: Pixels, shape: tuple[int, int], strip: int = STRIP
) -> Iterator[tuple[int, Floats]]:
    """A (h, w[, 3]) level at twice its size, cut to `shape`, bilinear, in strips from the top.

    `strip` is the number of rows of `pixels` in each. Yields (first row, float32 rows in [0, 1]).
    """
    height, width = shape
    scale = np.float32(1 / np.iinfo(pixels.dtype).max)
    for top in range(0, len(pixels), strip):
        # One more row on either side, so that strips meet as if enlarged in one piece.
        before, after = max(0, top - 1), min(len(pixels), top + strip + 1)
        part = pixels[before:after].astype(np.float32) * scale
        large = cv2.resize(part, (2 * part.shape[1], 2 * part.shape[0]))
        skip = 2 * (top - before)
        rows = np.asarray(large, np.float32)[skip : skip + 2 * strip, :width]
        yield 2 * top, rows[: max(0, height - 2 * top)]
