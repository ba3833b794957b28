"""Picture grids: one row a picture, one headed column a method, as the README shows them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]

#: Pixels between pictures, and of the row of headings.
GAP, HEADING = 2, 22
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


def grid(columns: Sequence[tuple[str, Pictures]], enlarge: int = 4) -> NDArray[np.uint8]:
    """A uint8 RGB picture of all `columns`, each a heading and pictures uint8 (n, h, w, 3).

    Every pixel becomes a square of `enlarge` px, so nothing is smoothed over.
    """
    count, height, width = columns[0][1].shape[:3]
    step_x, step_y = width * enlarge + GAP, height * enlarge + GAP
    sheet = np.full((HEADING + count * step_y, len(columns) * step_x - GAP, 3), 255, np.uint8)
    for column, (heading, pictures) in enumerate(columns):
        left = column * step_x
        (across, _), _ = cv2.getTextSize(heading, FONT, FONT_SCALE, 1)
        origin = (left + (width * enlarge - across) // 2, HEADING - 7)
        cv2.putText(sheet, heading, origin, FONT, FONT_SCALE, (40, 40, 40), 1, cv2.LINE_AA)
        for row, picture in enumerate(pictures):
            top = HEADING + row * step_y
            large = picture.repeat(enlarge, 0).repeat(enlarge, 1)
            sheet[top : top + large.shape[0], left : left + large.shape[1]] = large
    return sheet


def png(picture: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file of a uint8 RGB picture."""
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", colours, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return data.tobytes()
