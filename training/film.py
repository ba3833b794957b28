"""Real artefacts of film scans (hair, lint, dirt, scratches, stains, dots, spots, smut,
sprinkles), and where they lay in whole frames. Read from FilmDamageSimulator's tar where it
lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data import DataError, members

Shape = NDArray[np.uint8]

#: Alpha above which a pixel of an artefact hides what is below it: the soft rim belongs to it.
OPAQUE = 48


@dataclass(frozen=True)
class Outline:
    """One artefact of a frame: its label (Dust, Dirt, Scratch, Short hair, Long hair) and its
    polygon, int32 (n, 2) of x and y in pixels of the frame."""

    label: str
    points: NDArray[np.int32]


def load(path: Path) -> list[Shape]:
    """Every artefact as uint8 (h, w), 1 = damaged, in order of the names.

    Raises DataError with one line that names the path.
    """
    return [(opacity > OPAQUE).astype(np.uint8) for opacity in load_opacities(path)]


def load_opacities(path: Path) -> list[Shape]:
    """Every artefact as uint8 (h, w), 255 = opaque, in order of the names.

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
        shapes[name] = np.asarray(picture[..., 3], np.uint8)
    if not shapes:
        raise DataError(f"{path}: holds no artefacts")
    return [shapes[name] for name in sorted(shapes)]


def load_frames(path: Path) -> dict[str, list[Outline]]:
    """The artefacts of every frame that has some by its name, in order of the names.

    Raises DataError with one line that names the path.
    """
    for name, data in members(path):
        if name.endswith("polygons.json"):
            try:
                return {
                    frame: [_outline(values) for values in outlines]
                    for frame, outlines in sorted(json.loads(data).items())
                    if outlines
                }
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
                raise DataError(f"{path}: {name} holds no outlines") from None
    raise DataError(f"{path}: holds no polygons.json")


def _outline(values: dict[str, Any]) -> Outline:
    points = np.array(values["points"], np.int32)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("no points")
    return Outline(values["label"], points)


def draw_frame(
    outlines: list[Outline], shape: tuple[int, int], origin: tuple[float, float], scale: float
) -> NDArray[np.float32]:
    """How much of each pixel the artefacts cover, float32 (h, w) in [0, 1].

    origin: x and y in the frame of the upper left corner. scale: pixels here for one of the frame.
    """
    over = 4
    canvas = np.zeros((shape[0] * over, shape[1] * over), np.uint8)
    for outline in outlines:
        places = (outline.points - np.array(origin)) * scale * over
        inside = (places.max(0) >= 0).all() and (places.min(0) < canvas.shape[::-1]).all()
        if inside:
            cv2.fillPoly(canvas, [np.rint(places * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def turned(opacity: Shape, scale: float, angle: float) -> NDArray[np.float32]:
    """An artefact at another size (scale up to 1) and angle in degrees, float32 in [0, 1].

    Shrunk by areas before it is turned, so that a thin hair fades and does not break.
    """
    height, width = (max(1, round(side * scale)) for side in opacity.shape)
    small = np.asarray(cv2.resize(opacity, (width, height), interpolation=cv2.INTER_AREA))
    side = int(np.hypot(height, width)) + 3
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    return np.asarray(cv2.warpAffine(small, turn, (side, side)), np.float32) / np.float32(255)


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
