"""Names for the arrays that pass between modules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A photo's pixels: (h, w, c) or (h, w), RGB order, the depth that the file has.
Pixels = NDArray[np.uint8 | np.uint16]
#: (h, w), True = damaged.
Mask = NDArray[np.bool_]
#: Intensities in [0, 1]; pictures (h, w, 3), or (N, 3, h, w) where a model is called.
Floats = NDArray[np.float32]
