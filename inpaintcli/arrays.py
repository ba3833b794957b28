"""Names for the arrays that pass between modules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inpaintcli.errors import UsageError

#: A photo's pixels: (h, w, c) or (h, w), RGB order, the depth that the file has.
Pixels = NDArray[np.uint8 | np.uint16]
#: (h, w), True = damaged.
Mask = NDArray[np.bool_]
#: Intensities in [0, 1]; pictures (h, w, 3), or (N, 3, h, w) where a model is called.
Floats = NDArray[np.float32]


def check_pixels(pixels: Pixels) -> None:
    """Raise UsageError unless pixels are uint8 or uint16 (h, w) or (h, w, 1 to 4), not empty."""
    if not isinstance(pixels, np.ndarray):
        raise UsageError(f"pixels must be a NumPy array, not a {type(pixels).__name__}")
    shape = pixels.shape
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and 1 <= shape[2] <= 4)
    if pixels.dtype not in (np.uint8, np.uint16) or not fits or 0 in shape:
        raise UsageError(
            f"pixels must be uint8 or uint16, (h, w) or (h, w, 1 to 4), not {pixels.dtype} {shape}"
        )


def size(shape: tuple[int, ...]) -> str:
    """A (height, width, ...) shape as people write sizes: width x height."""
    return f"{shape[1]}x{shape[0]}"
