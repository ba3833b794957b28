"""Layers of damage: what they do to a photo, and what of the film they never show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inpaintcli.aging import Artefact
from tests.training import Outlines, film_tar
from training import film, layers
from training.config import LAYERS, ConfigError
from training.data import DataError
from training.layers import HELD_OUT_FRAMES, Layer, Layers

EVERY = {kind: 1.0 for kind in LAYERS if kind != "none"}
SIDE = 64
#: A speck every 100 px of a frame, for training, and two frames that are nothing but damage.
SPECKS: Outlines = [
    [(x, y), (x + 20, y), (x, y + 20)] for x in range(0, 500, 100) for y in range(0, 500, 100)
]
SOLID: Outlines = [[(0, 0), (500, 0), (500, 500), (0, 500)]]
FRAMES = {
    **{f"frame-{number}": SPECKS for number in (1, 2, 3, 4)},
    **dict.fromkeys(HELD_OUT_FRAMES, SOLID),
}


@pytest.fixture(autouse=True)
def small_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SIDE", SIDE)


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film_tar(tmp_path_factory.mktemp("film") / "film.tar", frames=FRAMES)


def equal(first: Layer | None, second: Layer | None) -> bool:
    if first is None or second is None:
        return first is second
    return bool(
        np.array_equal(first.colour, second.colour)
        and np.array_equal(first.opacity, second.opacity)
    )


def laid(pieces: list[Artefact], picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Artefacts over a picture, one after the other, pixel by pixel."""
    result = picture.copy()
    for piece in pieces:
        for row, column in np.ndindex(*piece.opacity.shape):
            y, x = piece.top + row, piece.left + column
            if 0 <= y < SIDE and 0 <= x < SIDE:
                opacity = piece.opacity[row, column]
                colour = piece.colour[row, column] if piece.colour.ndim == 3 else piece.colour
                result[y, x] = result[y, x] * (1 - opacity) + colour * opacity
    return result


def test_a_layer_does_what_its_artefacts_do_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)

    def piece(top: int, left: int, height: int, width: int, many: bool) -> Artefact:
        colour = rng.random((height, width, 3) if many else 3).astype(np.float32)
        return Artefact(top, left, rng.random((height, width)).astype(np.float32), colour)

    pieces = [
        piece(5, 8, 20, 30, False), piece(-7, -9, 25, 40, True), piece(50, 40, 30, 30, True),
        piece(10, 12, 12, 12, False), piece(SIDE, 3, 8, 8, False), piece(-9, 3, 9, 8, True),
    ]  # fmt: skip
    monkeypatch.setattr(layers, "artefacts", lambda *_, **__: iter(pieces))
    layer = layers.aged(rng)
    assert layer.colour.shape == (SIDE, SIDE, 3)
    assert layer.opacity.shape == (SIDE, SIDE, 1)
    for level in (0.0, 0.6, 1.0):
        picture = np.full((SIDE, SIDE, 3), level) * rng.random((SIDE, SIDE, 3)) ** 0.1
        expected = laid(pieces, picture)
        found = layer.over(picture.astype(np.float32))
        assert found.dtype == np.float32
        assert np.abs(expected - picture).max() > 0.3 or not level
        # Opacity and colour are kept in 8 bits each.
        assert np.abs(found - expected).max() < 1.01 / 255


def test_every_kind_draws_layers_that_can_be_laid(artefacts: Path) -> None:
    drawn = Layers(EVERY, 0, artefacts, count=6)
    assert drawn.layers.keys() == EVERY.keys()
    for kind, found in drawn.layers.items():
        assert len(found) == 6
        for layer in found:
            assert layer.colour.dtype == np.uint8
            assert layer.opacity.dtype == np.uint8
            assert layer.colour.shape == (SIDE, SIDE, 3)
            # No colour without the opacity that it is laid with.
            assert (layer.colour <= layer.opacity.astype(int) + 1).all(), kind
        assert any((layer.opacity > 50).any() for layer in found), kind
        assert not all(equal(found[0], layer) for layer in found), kind


def test_the_seed_fixes_layers_and_crops(artefacts: Path) -> None:
    shares = {**EVERY, "none": 0.5}
    first, second, other = (Layers(shares, seed, artefacts, count=2) for seed in (3, 3, 4))
    for kind in EVERY:
        pairs = list(zip(first.layers[kind], second.layers[kind], strict=True))
        assert all(equal(a, b) for a, b in pairs), kind
        assert not equal(first.layers[kind][0], other.layers[kind][0]), kind
    crops = [
        [source.crop(24, rng) for _ in range(20)]
        for source, rng in (
            (first, np.random.default_rng(0)),
            (second, np.random.default_rng(0)),
            (first, np.random.default_rng(1)),
        )
    ]
    assert all(equal(a, b) for a, b in zip(crops[0], crops[1], strict=True))
    assert not all(equal(a, b) for a, b in zip(crops[0], crops[2], strict=True))


def flat(value: int) -> Layer:
    """A layer of one opacity."""
    return Layer(
        np.full((SIDE, SIDE, 3), value, np.uint8), np.full((SIDE, SIDE, 1), value, np.uint8)
    )


def test_kinds_come_as_often_as_their_shares_say(artefacts: Path) -> None:
    shares = {"aged": 1.0, "film": 0, "frames": 0.5, "drawn": 2.0, "none": 0.5}
    source = Layers(shares, 0, artefacts, count=1)
    assert source.layers.keys() == {"aged", "frames", "drawn"}
    values = {"aged": 50, "frames": 100, "drawn": 150}
    source.layers = {kind: [flat(value)] for kind, value in values.items()}
    rng = np.random.default_rng(0)
    crops = [source.crop(16, rng) for _ in range(800)]
    found = Counter(0 if crop is None else int(crop.opacity[0, 0, 0]) for crop in crops)
    assert {value: count / 800 for value, count in found.items()} == pytest.approx(
        {50: 0.25, 100: 0.125, 150: 0.5, 0: 0.125}, abs=0.05
    )


def test_crops_are_cut_anywhere_turned_and_mirrored_as_one() -> None:
    source = Layers({"drawn": 1.0}, 0, count=1)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.uint8)
    opacity = 3 * x + 1
    source.layers["drawn"] = [Layer(np.stack([y, x, opacity], 2), opacity[..., None])]
    rng = np.random.default_rng(0)
    ways, corners = set(), set()
    for _ in range(200):
        crop = source.crop(16, rng)
        assert crop is not None
        assert crop.colour.shape == (16, 16, 3)
        assert (crop.opacity[..., 0] == crop.colour[..., 2]).all()
        rows, columns = crop.colour[..., 0].astype(int), crop.colour[..., 1].astype(int)
        ways.add((rows[1, 0] - rows[0, 0], rows[0, 1] - rows[0, 0],
                  columns[1, 0] - columns[0, 0], columns[0, 1] - columns[0, 0]))  # fmt: skip
        corners.add((int(rows.min()), int(columns.min())))
    assert len(ways) == 8
    for axis in range(2):
        places = {corner[axis] for corner in corners}
        assert min(places) <= 3
        assert max(places) >= SIDE - 16 - 3


@pytest.mark.parametrize("edges", [(-1, 1), (1, 0), (0, -1)])
def test_crops_at_an_edge_are_of_the_layers_edge(edges: tuple[int, int]) -> None:
    source = Layers({"drawn": 1.0}, 0, count=1)
    rim = np.zeros((SIDE, SIDE, 1), np.uint8)
    rim[0] = rim[-1] = rim[:, 0] = rim[:, -1] = 255
    source.layers["drawn"] = [Layer(np.repeat(rim, 3, 2), rim)]
    rng = np.random.default_rng(0)
    for _ in range(30):
        crop = source.crop(16, rng, edges)
        assert crop is not None
        down, across = edges
        assert not down or crop.opacity[0 if down < 0 else -1].all()
        assert not across or crop.opacity[:, 0 if across < 0 else -1].all()


def test_crops_seldom_hold_nothing() -> None:
    source = Layers({"drawn": 1.0}, 0, count=1)
    layer = Layer(np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE, 1), np.uint8))
    layer.opacity[:, :8] = 255
    source.layers["drawn"] = [layer]
    rng = np.random.default_rng(0)
    crops = [source.crop(16, rng) for _ in range(400)]
    # 8 of 49 places hold some: a sixth of all crops, had they one try.
    assert 0.5 < np.mean([crop is not None and crop.opacity.any() for crop in crops]) < 0.85


def test_no_layer_shows_the_frames_that_are_measured_with(artefacts: Path) -> None:
    assert set(HELD_OUT_FRAMES) == {"frame-5", "frame-6"}
    frames = film.load_frames(artefacts)
    for name in HELD_OUT_FRAMES:
        layer = layers.of_frame(np.random.default_rng(0), [frames[name]])
        assert (layer.opacity > 20).mean() > 0.9
    found = Layers({"frames": 1.0}, 0, artefacts, count=40).layers["frames"]
    covered = [(layer.opacity > 20).mean() for layer in found]
    assert max(covered) < 0.3
    assert np.mean(covered) > 0.005


def test_artefacts_of_a_frame_lie_where_they_lay() -> None:
    # Rows of dots 100 px apart: at any scale, as far apart along as across.
    frame = [film.Outline("Dust", np.array(points, np.int32)) for points in SPECKS]
    measured = 0
    for seed in range(24):
        layer = layers.of_frame(np.random.default_rng(seed), [frame])
        profile = [(layer.opacity[..., 0] > 20).any(axis) for axis in (0, 1)]
        steps = [np.diff(np.nonzero(np.diff(line.astype(int)) == 1)[0]) for line in profile]
        if all(len(step) for step in steps):
            assert abs(np.mean(steps[0]) - np.mean(steps[1])) <= 2
            assert 23 <= np.mean(steps[0]) <= 112
            measured += 1
    assert measured > 2


def test_greyed_layers_have_the_mean_of_the_three_colours() -> None:
    rng = np.random.default_rng(0)
    layer = Layer(
        rng.integers(0, 256, (5, 7, 3), np.uint8), rng.integers(0, 256, (5, 7, 1), np.uint8)
    )
    grey = layer.greyed()
    assert grey.colour.dtype == np.uint8
    assert grey.colour.shape == (5, 7, 3)
    assert (grey.opacity == layer.opacity).all()
    for y, x in np.ndindex(5, 7):
        mean = sum(int(value) for value in layer.colour[y, x]) / 3
        assert all(abs(int(value) - mean) <= 0.5 for value in grey.colour[y, x])
    # Over a grey photo nothing has a colour.
    after = grey.over(np.full((5, 7, 3), 0.5, np.float32))
    assert (after == after[..., :1]).all()


@pytest.mark.parametrize("kind", ["film", "frames"])
def test_kinds_of_film_need_the_tar(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match="--film") as caught:
        Layers({kind: 1.0}, 0, count=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"nowhere\.tar"):
        Layers({kind: 1.0}, 0, tmp_path / "nowhere.tar", count=1)
    # Where no film is asked for, none is read.
    Layers({"drawn": 1.0, kind: 0}, 0, tmp_path / "nowhere.tar", count=1)


def test_frames_to_measure_with_are_none_to_train_on(tmp_path: Path) -> None:
    path = film_tar(tmp_path / "film.tar", frames=dict.fromkeys(HELD_OUT_FRAMES, SOLID))
    with pytest.raises(ConfigError, match=r"film\.tar holds no frames"):
        Layers({"frames": 1.0}, 0, path, count=1)
    # The artefacts alone are enough where no frames are asked for.
    assert Layers({"film": 1.0}, 0, path, count=1).layers["film"]
