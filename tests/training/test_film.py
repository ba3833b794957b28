"""Film artefacts: where they lay in frames, drawn to the pixel, and hairs that stay hairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.draw
from numpy.typing import NDArray

from tests.training import film_tar, tar_of
from training import film
from training.data import DataError
from training.film import Outline

Floats = NDArray[np.float64]


def outline(*points: tuple[int, int]) -> Outline:
    return Outline("Dust", np.array(points, np.int32))


#: Any, because it is typed in part only.
reference: Any = skimage.draw
#: In pixels of a frame; the last two reach beyond what is drawn, or lie there.
OUTLINES = [
    outline((20, 30), (90, 42), (50, 110)),
    outline((120, 20), (200, 20), (200, 100), (160, 50), (120, 100)),
    outline((60, 80), (110, 60), (140, 130)),
    outline((150, 140), (400, 150), (390, 500), (170, 210)),
    outline((900, 900), (950, 900), (950, 950)),
]


def naive(
    outlines: list[Outline], shape: tuple[int, int], origin: tuple[float, float], scale: float
) -> Floats:
    """How much of each pixel polygons cover, counted on a grid of 24 x 24 points in each."""
    over = 24
    canvas = np.zeros((shape[0] * over, shape[1] * over))
    for one in outlines:
        places = (one.points - np.array(origin)) * scale * over - 0.5
        rows, columns = reference.polygon(places[:, 1], places[:, 0], canvas.shape)
        canvas[rows, columns] = 1
    return np.asarray(canvas.reshape(shape[0], over, shape[1], over).mean((1, 3)))


@pytest.mark.parametrize(
    ("origin", "scale"), [((0.0, 0.0), 1.0), ((13.2, 5.5), 0.37), ((40.0, 61.7), 0.8)]
)
def test_frames_are_drawn_as_their_polygons_lie(origin: tuple[float, float], scale: float) -> None:
    shape = (88, 75)
    found = film.draw_frame(OUTLINES, shape, origin, scale)
    expected = naive(OUTLINES, shape, origin, scale)
    assert found.dtype == np.float32
    assert found.shape == shape
    assert 0.05 < expected.mean() < 0.9
    # OpenCV draws a polygon's edge too: half a pixel of a grid of 4 x 4 in each on either side.
    assert np.abs(found - expected).max() < 0.55
    assert np.abs(found - expected).mean() < 0.02
    inside, outside = expected == 1, cv2.dilate((expected > 0).astype(np.uint8), np.ones((3, 3)))
    assert found[inside].min() > 0.85
    assert found[outside == 0].max() == 0


def test_a_hair_thinner_than_a_pixel_is_faint_and_whole() -> None:
    hair = outline((10, 10), (390, 290))
    found = film.draw_frame([hair], (60, 80), (0.0, 0.0), 0.2)
    rows, columns = np.linspace(10, 290, 400) * 0.2, np.linspace(10, 390, 400) * 0.2
    under = found[rows.astype(int), columns.astype(int)]
    near = cv2.dilate(found, np.ones((3, 3)))[rows.astype(int), columns.astype(int)]
    assert near.min() > 0.1
    assert under.mean() < 0.7


def test_nothing_lies_where_no_polygon_does() -> None:
    assert not film.draw_frame(OUTLINES[-1:], (50, 60), (0.0, 0.0), 1.0).any()
    assert not film.draw_frame(OUTLINES, (50, 60), (1000.0, 1000.0), 1.0).any()


def hair() -> film.Shape:
    """A thin curve."""
    canvas = np.zeros((90, 140), np.uint8)
    x = np.arange(8, 132, 2)
    points = np.stack([x, 45 + 30 * np.sin(x / 25)], 1).round().astype(np.int32)
    return np.asarray(cv2.polylines(canvas, [points], False, (255,), 1, cv2.LINE_AA), np.uint8)


def blot() -> film.Shape:
    """An uneven spot that touches the edges of its picture."""
    canvas = np.zeros((60, 40), np.uint8)
    cv2.ellipse(canvas, (20, 30), (19, 29), 0, 0, 360, (255,), -1)
    cv2.circle(canvas, (15, 20), 8, (90,), -1)
    return canvas


@pytest.mark.parametrize("scale", [1.0, 0.6, 0.31, 0.12])
@pytest.mark.parametrize("shape", [hair(), blot()], ids=["hair", "blot"])
def test_turned_artefacts_keep_their_opacity(shape: film.Shape, scale: float) -> None:
    for angle in (0.0, 33.0, 90.0, 211.5):
        found = film.turned(shape, scale, angle)
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1
        # Smaller, and as much of it for its size: nothing is cut off, and no thin line vanishes.
        assert found.sum() == pytest.approx(shape.sum() / 255 * scale**2, rel=0.15)


def test_turned_by_the_angle() -> None:
    bar = np.full((9, 81), 255, np.uint8)
    for angle in (0.0, 30.0, 90.0, 135.0):
        found = film.turned(bar, 0.5, angle)
        y, x = np.nonzero(found > 0.5)
        spread = np.cov(np.stack([x, y]))
        along = np.linalg.eigh(spread)[1][:, -1]
        # Rows count downwards; a bar has no direction.
        measured = np.degrees(np.arctan2(-along[1], along[0])) % 180
        assert min(abs(measured - angle), 180 - abs(measured - angle)) < 3


def test_opacities_are_kept_as_they_are(tmp_path: Path) -> None:
    soft, plain = np.zeros((4, 6, 4), np.uint8), np.full((3, 2, 4), 255, np.uint8)
    soft[1, :, 3] = (0, 1, film.OPAQUE, film.OPAQUE + 1, 200, 255)
    files = {
        f"set/{name}.png": bytes(cv2.imencode(".png", picture)[1])
        for name, picture in (("b", soft), ("a", plain))
    }
    first, second = film.load_opacities(tar_of(tmp_path / "film.tar", files))
    assert (first.tolist(), second.tolist()) == (plain[..., 3].tolist(), soft[..., 3].tolist())


def test_frames_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    polygons = {"frame-2": [[(3, 4), (5, 6)]], "frame-1": [[(7, 8)], [(1, 2), (0, 9), (5, 5)]]}
    found = film.load_frames(film_tar(tmp_path / "film.tar", frames={**polygons, "frame-3": []}))
    # A frame without artefacts is none to draw from.
    assert list(found) == ["frame-1", "frame-2"]
    for name, outlines in found.items():
        assert [one.points.tolist() for one in outlines] == [
            [list(point) for point in points] for points in polygons[name]
        ]
        assert {one.label for one in outlines} == {"Dust"}


def written(frames: object) -> bytes:
    return json.dumps(frames).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe broken",
        written([]),
        written(3),
        written({"frame-1": 3}),
        written({"frame-1": [3]}),
        written({"frame-1": [{"label": "Dust"}]}),
        written({"frame-1": [{"points": [[1, 2]]}]}),
        written({"frame-1": [{"label": "Dust", "points": []}]}),
        written({"frame-1": [{"label": "Dust", "points": [1, 2]}]}),
        written({"frame-1": [{"label": "Dust", "points": [[1, 2, 3]]}]}),
        written({"frame-1": [{"label": "Dust", "points": [[1, 2], [3]]}]}),
        written({"frame-1": [{"label": "Dust", "points": [["a", "b"]]}]}),
        written({"frame-1": [{"label": "Dust", "points": [[1, 10**12]]}]}),
    ],
)
def test_broken_outlines_are_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tar_of(tmp_path / "film.tar", {"set/polygons.json": content})
    with pytest.raises(DataError, match=r"set/polygons\.json holds no outlines") as caught:
        film.load_frames(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_outlines_are_told_in_one_line(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "film.tar", {"set/note.txt": b"hello"})
    with pytest.raises(DataError, match=r"film\.tar: holds no polygons\.json"):
        film.load_frames(path)
    with pytest.raises(DataError, match=r"nowhere\.tar"):
        film.load_frames(tmp_path / "nowhere.tar")
