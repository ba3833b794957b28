"""Colours as numbers of a palette, and grey of fewer than 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Pixels
from inpaintcli.photo.picture import Metadata, Palette, Photo

Numbers = NDArray[np.uint8]
#: Pixels, or pairs of a colour and an entry, that are looked at together.
_AT_ONCE = 2**20


def entries(palette: Palette) -> Numbers:
    """Its colours, (entries, 3), or (entries, 4) if some are transparent."""
    colours = np.frombuffer(palette.colours, np.uint8).reshape(-1, 3)
    if not palette.alpha:
        return colours
    alpha = np.frombuffer(palette.alpha, np.uint8)[: len(colours)]
    alpha = np.pad(alpha, (0, len(colours) - len(alpha)), constant_values=255)
    return np.column_stack([colours, alpha])


def numbered(photo: Photo) -> Numbers | None:
    """The photo as its file held it: a palette's number, or grey of fewer bits, at each pixel.

    A colour that the palette has keeps it; any other gets the nearest entry, or the nearest grey.

    Returns (height, width), each below 2 to the power of `Metadata.bits`; None where the file held
    pixels as they are, or where the photo has other channels by now.
    """
    pixels, meta = photo.pixels, photo.metadata
    if pixels.dtype != np.uint8:
        return None
    if meta.palette is not None:
        colours = entries(meta.palette)
        return _picked(pixels, colours) if pixels.shape[2] == colours.shape[1] else None
    if meta.bits == 8 or pixels.shape[2] != 1:
        return None
    grey = np.arange(256) * (2**meta.bits - 1) / 255
    numbers: Numbers = np.floor(grey + 0.5).astype(np.uint8)[pixels[..., 0]]
    return numbers


def greys(bits: int) -> Numbers:
    """The 8-bit grey that each number of so many bits stands for."""
    values: Numbers = (np.arange(2**bits) * 255 // (2**bits - 1)).astype(np.uint8)
    return values


def depth(meta: Metadata) -> int:
    """Bits that `numbered` takes: those of the file, or more where the palette needs them."""
    count = 1 if meta.palette is None else len(meta.palette.colours) // 3
    return next(bits for bits in (1, 2, 4, 8) if bits >= meta.bits and 2**bits >= count)


def packed(numbers: Numbers, bits: int) -> Numbers:
    """Rows of bytes, (height, bytes), each with several numbers, the first in the high bits."""
    each = 8 // bits
    height, width = numbers.shape
    whole = np.zeros((height, -(-width // each) * each), np.uint8)
    whole[:, :width] = numbers
    rows = np.zeros((height, whole.shape[1] // each), np.uint8)
    for k in range(each):
        rows |= whole[:, k::each] << np.uint8(8 - bits * (k + 1))
    return rows


def unpacked(rows: Numbers, bits: int, width: int) -> Numbers:
    """The inverse of `packed`, (height, width)."""
    each = 8 // bits
    numbers = np.empty((len(rows), rows.shape[1] * each), np.uint8)
    for k in range(each):
        numbers[:, k::each] = (rows >> np.uint8(8 - bits * (k + 1))) & np.uint8(2**bits - 1)
    return numbers[:, :width]


def _picked(pixels: Pixels, colours: Numbers) -> Numbers:
    """The number of the entry that is nearest to each pixel."""
    height, width, channels = pixels.shape
    codes, order = np.unique(_codes(colours), return_index=True)
    numbers = np.empty(height * width, np.uint8)
    flat = pixels.reshape(-1, channels)
    for start in range(0, len(flat), _AT_ONCE):
        part = _codes(flat[start : start + _AT_ONCE])
        place = np.minimum(np.searchsorted(codes, part), len(codes) - 1)
        found = order[place].astype(np.uint8)
        foreign = codes[place] != part
        if foreign.any():
            strange, which = np.unique(part[foreign], return_inverse=True)
            found[foreign] = _nearest(strange, colours)[which]
        numbers[start : start + len(part)] = found
    return numbers.reshape(height, width)


def _codes(colours: Pixels) -> NDArray[np.uint32]:
    """One number for each colour, (n,)."""
    whole = np.zeros((len(colours), 4), np.uint8)
    whole[:, : colours.shape[1]] = colours
    return whole.view(np.uint32)[:, 0]


def _nearest(codes: NDArray[np.uint32], colours: Numbers) -> Numbers:
    """The number of the entry nearest to each of these colours."""
    wanted = codes[:, None].view(np.uint8)[:, : colours.shape[1]].astype(np.float32)
    known = colours.astype(np.float32)
    numbers = np.empty(len(wanted), np.uint8)
    step = max(1, _AT_ONCE // len(known))
    squares = (known**2).sum(1)
    for start in range(0, len(wanted), step):
        # |a - b|² without |a|², which is the same for all b.
        distance = squares - 2 * wanted[start : start + step] @ known.T
        numbers[start : start + step] = distance.argmin(1)
    return numbers
