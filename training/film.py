"""Real artefacts of film scans (hair, lint, dirt, scratches, stains, dots, spots, smut,
sprinkles), as shapes of masks. Read from FilmDamageSimulator's tar where it lies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data import DataError, members

Shape = NDArray[np.uint8]

#: Alpha above which a pixel of an artefact hides what is below it: the soft rim belongs to it.
OPAQUE = 48


def load(path: Path) -> list[Shape]:
    """Every artefact as uint8 (h, w), 1 = damaged, in order of the names.

    Raises DataError with one line that names the path.
    """
    shapes: dict[str, Shape] = {}
    for name, data in members(path):
        if not name.endswith(".png"):
            continue
        content = np.frombuffer(data, np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if data else None
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            raise DataError(f"{path}: {name} is no picture with alpha")
        shapes[name] = (picture[..., 3] > OPAQUE).astype(np.uint8)
    if not shapes:
        raise DataError(f"{path}: holds no artefacts")
    return [shapes[name] for name in sorted(shapes)]


def sprinkle(canvas: Shape, shapes: list[Shape], rng: np.random.Generator, share: float) -> None:
    """Put artefacts anywhere, turned and scaled, until `share` of the canvas is damaged."""
    height, width = canvas.shape
    for _ in range(500):
        shape = shapes[int(rng.integers(len(shapes)))]
        scale = float(rng.uniform(0.15, 0.8))
        side = int(np.hypot(*shape.shape) * scale) + 3
        turn = cv2.getRotationMatrix2D(
            (shape.shape[1] / 2, shape.shape[0] / 2), float(rng.uniform(0, 360)), scale
        )
        turn[0, 2] += (side - shape.shape[1]) / 2
        turn[1, 2] += (side - shape.shape[0]) / 2
        # Interpolated, then cut low: most of a hair that is thinner than a pixel stays.
        turned = cv2.warpAffine(shape * 255, turn, (side, side), flags=cv2.INTER_AREA) > 64
        top, left = int(rng.integers(-side + 1, height)), int(rng.integers(-side + 1, width))
        window = canvas[max(0, top) : top + side, max(0, left) : left + side]
        window |= turned[
            max(0, -top) : max(0, -top) + window.shape[0],
            max(0, -left) : max(0, -left) + window.shape[1],
        ]
        if canvas.mean() >= share:
            return
