"""How a picture lies in its file, and how it is meant to be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=NDArray[np.generic])
_Turn = Callable[[NDArray[np.generic]], NDArray[np.generic]]

#: From what the file holds to what is seen, by the value of EXIF's orientation.
_UPRIGHT: dict[int, _Turn] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[:, ::-1].swapaxes(0, 1),
}
#: Two of them are quarter turns, which undo each other; the others undo themselves.
_INVERSE = {6: 8, 8: 6}
_IN_XMP = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)(\d)""")


def known(orientation: object) -> int:
    """The orientation, 1 to 8, that a tag's value stands for: 1 where it is none of these."""
    return orientation if isinstance(orientation, int) and orientation in _UPRIGHT else 1


def upright(array: Array, orientation: int) -> Array:
    """Pixels or a mask, (height, width, ...), as they are meant to be seen.

    Args:
        array: As the file holds them.
        orientation: EXIF's, 1 to 8.

    Returns a contiguous array: the same one if the orientation is 1.
    """
    turn = _UPRIGHT.get(orientation)
    return array if turn is None else np.ascontiguousarray(turn(array))  # type: ignore[return-value]


def stored(array: Array, orientation: int) -> Array:
    """Upright pixels or an upright mask, (height, width, ...), as the file held them.

    The inverse of making upright.

    Args:
        array: As they are seen, such as `Photo.pixels`.
        orientation: The one that the file asked for, 1 to 8: `Metadata.orientation`.

    Returns a contiguous array: the same one if the orientation is 1.
    """
    return upright(array, _INVERSE.get(orientation, orientation))


def in_xmp(xmp: bytes) -> int | None:
    """The orientation that an XMP packet names, None where it names none."""
    found = _IN_XMP.search(xmp)
    return int(found[2]) if found else None


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with orientation 1 in place of any other."""
    return _IN_XMP.sub(rb"\g<1>1", xmp)
