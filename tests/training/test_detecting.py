"""What the detector learns from and is judged by, each against a plain loop."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inpaintcli import tiling
from inpaintcli.aging import VISIBLE
from inpaintcli.tiling import Grid
from tests.training import synthetic
from training import detecting, layers
from training.config import Config, Network
from training.data import Pictures
from training.detecting import (
    FAINT,
    MARGIN,
    Detecting,
    auc,
    best_f1,
    beyond,
    cut,
    damaged,
    detection_loss,
)
from training.layers import Layer, Layers

Array = NDArray[np.uint8]
CPU = torch.device("cpu")


def test_labels_tell_visible_from_faint_damage() -> None:
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 256, (24, 30, 3), np.uint8)
    opacity = rng.choice(np.array([0, 3, 4, 5, 30, 255], np.uint8), (24, 30, 1))
    share = opacity / 255
    colour = np.rint(share * rng.integers(0, 256, (24, 30, 3))).astype(np.uint8)
    # Here the damage has the photo's own colour, nearly.
    colour[:8] = np.rint(share * patch)[:8]
    found, labels = damaged(patch, Layer(colour, opacity))
    assert found.dtype == labels.dtype == np.uint8
    seen = set()
    for y, x in np.ndindex(24, 30):
        after = [patch[y, x, c] * (1 - share[y, x, 0]) + colour[y, x, c] for c in range(3)]
        change = max(abs(after[c] - patch[y, x, c]) for c in range(3))
        assert np.abs(found[y, x] - np.array(after)).max() < 0.51
        if abs(change - VISIBLE * 255) < 1e-3:
            continue
        label = 1 if change >= VISIBLE * 255 else FAINT if opacity[y, x, 0] > 4 else 0
        assert labels[y, x] == label
        seen.add((label, int(opacity[y, x, 0])))
    assert seen >= {
        (0, 0),
        (0, 3),
        (0, 4),
        (FAINT, 5),
        (FAINT, 30),
        (1, 30),
        (1, 255),
        (FAINT, 255),
    }


def test_without_a_layer_nothing_is_damaged() -> None:
    (patch,) = synthetic(1, 16)
    found, labels = damaged(patch, None)
    assert (found == patch).all()
    assert labels.shape == (16, 16)
    assert not labels.any()


@pytest.mark.parametrize("times", [2, 4])
def test_labels_at_a_smaller_size(times: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, FAINT], np.uint8), (2, 1, 80, 48), p=(0.83, 0.15, 0.02))
    small = detecting.coarse_labels(torch.from_numpy(labels), times)
    assert small.dtype == torch.uint8
    assert small.shape == (2, 1, 80 // times, 48 // times)
    seen = set()
    for n, _, y, x in np.ndindex(*small.shape):
        part = labels[n, 0, y * times : (y + 1) * times, x * times : (x + 1) * times]
        marked, faint = int((part == 1).sum()), int((part == FAINT).sum())
        # Three of ten are damage; fewer, or what is faint, is neither damage nor none.
        damage = marked / times**2 >= 0.3
        label = 1 if damage else 0 if marked == faint == 0 else FAINT
        assert small[n, 0, y, x] == label
        seen.add((label, marked > 0))
    assert seen == {(0, False), (FAINT, False), (FAINT, True), (1, True)}


def test_pictures_at_half_size() -> None:
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    small = detecting.halved(images)
    torch.testing.assert_close(small, images.reshape(2, 3, 4, 2, 6, 2).mean((3, 5)))


def test_tensors_are_pictures_and_labels() -> None:
    rng = np.random.default_rng(0)
    samples = [
        (picture[:, ::-1], rng.choice(np.array([0, 1, FAINT], np.uint8), (16, 16)))
        for picture in synthetic(2, 16)
    ]
    images, labels = detecting.to_tensors(samples, CPU)
    assert images.shape == (2, 3, 16, 16)
    assert labels.shape == (2, 1, 16, 16)
    for index, (picture, label) in enumerate(samples):
        assert ((images[index] * 255).round().permute(1, 2, 0).numpy() == picture).all()
        assert (labels[index, 0].numpy() == label).all()


def some_labels() -> Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(
        rng.choice(np.array([0, 1, FAINT], np.uint8), (2, 1, 12, 10), p=(0.6, 0.2, 0.2))
    )


def test_the_loss_is_its_formula() -> None:
    labels = some_labels()
    odds = torch.randn(
        labels.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    entropy = both = chances = wanted = 0.0
    count = 0
    for odd, label in zip(odds.flatten().tolist(), labels.flatten().tolist(), strict=True):
        if label == FAINT:
            continue
        chance = 1 / (1 + math.exp(-odd))
        entropy -= math.log(chance if label else 1 - chance)
        both, chances, wanted = both + chance * label, chances + chance, wanted + label
        count += 1
    dice = (2 * both + 1) / (chances + wanted + 1)
    assert float(detection_loss(odds, labels)) == pytest.approx(
        entropy / count + 0.25 * (1 - dice), rel=1e-5
    )


def test_the_loss_is_low_for_right_answers_and_blind_to_what_is_faint() -> None:
    labels = some_labels()
    right = torch.where(labels == 1, 4.0, -4.0)
    losses = [float(detection_loss(strength * right, labels)) for strength in (-1, 0, 0.5, 1, 2)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.01
    other = torch.where(labels == FAINT, 9.0, right).requires_grad_()
    loss = detection_loss(other, labels)
    assert float(loss.detach()) == pytest.approx(losses[3], rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert other.grad is not None
    assert not other.grad[labels == FAINT].any()
    assert other.grad[labels != FAINT].all()
    # Where nothing counts there is nothing to learn, and no division by zero.
    nothing = detection_loss(other.detach(), torch.full_like(labels, FAINT))
    assert float(nothing) == pytest.approx(0, abs=1e-6)


def histograms(chance: Array, label: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many damaged and how many sound pixels have each of 256 probabilities."""
    found = [np.bincount(chance[label == kind], minlength=256).astype(float) for kind in (1, 0)]
    return found[0], found[1]


@pytest.mark.parametrize("seed", range(4))
def test_f1_and_auc_are_those_of_a_plain_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = (rng.random(300) < 0.15).astype(np.uint8)
    shifted = rng.normal(0, 40, 300) + 90 + 30 * seed * label
    # Few different values: ties are there.
    chance = (np.clip(shifted, 0, 255) // 5 * 5).astype(np.uint8)
    best, place = 0.0, 0
    for threshold in range(256):
        called = [value >= threshold for value in chance.tolist()]
        right = sum(one and bool(real) for one, real in zip(called, label.tolist(), strict=True))
        f1 = 2 * right / (sum(called) + int(label.sum()))
        if f1 > best:
            best, place = f1, threshold
    assert best_f1(*histograms(chance, label)) == pytest.approx((best, place / 255))
    higher = 0.0
    for one in chance[label == 1].tolist():
        for other in chance[label == 0].tolist():
            higher += 1.0 if one > other else 0.5 if one == other else 0.0
    expected = higher / (int(label.sum()) * int((label == 0).sum()))
    assert auc(*histograms(chance, label)) == pytest.approx(expected)


def test_scores_of_nothing_are_no_numbers_that_flatter() -> None:
    nothing, some = np.zeros(256), np.ones(256)
    assert best_f1(nothing, some)[0] == 0
    assert auc(nothing, some) == auc(some, nothing) == 0


class Hinted(nn.Module):
    """Log odds of the picture's red and of what was found at half the size; remembers both."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Tensor, Tensor]] = []

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        self.given.append((image, coarse))
        return 4 * image[:, :1] + 3 * coarse - 3


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_probability_is_found_coarse_to_fine(levels: int) -> None:
    image = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    network = Hinted()
    found = detecting.probability(network, image, levels)
    assert [tuple(seen.shape[2:]) for seen, _ in network.given] == [
        (16 >> level, 24 >> level) for level in reversed(range(levels))
    ]
    assert not network.given[0][1].any()
    below = None
    for seen, coarse in network.given:
        factor = 16 // seen.shape[2]
        picture = image.reshape(1, 3, seen.shape[2], factor, seen.shape[3], factor).mean((3, 5))
        torch.testing.assert_close(seen, picture)
        if below is not None:
            torch.testing.assert_close(coarse, bilinear(below))
        below = (4 * seen[:, :1] + 3 * coarse - 3).sigmoid()
    assert below is not None
    torch.testing.assert_close(found, below)


def bilinear(coarse: Tensor) -> Tensor:
    """Twice as large: each pixel three quarters of its own and a quarter of its neighbours'."""
    for axis in (2, 3):
        first, last = coarse.narrow(axis, 0, 1), coarse.narrow(axis, coarse.shape[axis] - 1, 1)
        length = coarse.shape[axis]
        padded = torch.cat([first, coarse, last], axis)
        before, after = padded.narrow(axis, 0, length), padded.narrow(axis, 2, length)
        pairs = torch.stack([0.75 * coarse + 0.25 * before, 0.75 * coarse + 0.25 * after], axis + 1)
        coarse = pairs.flatten(axis, axis + 1)
    return coarse


def test_grey_is_three_equal_channels() -> None:
    grey = np.repeat(np.arange(48, dtype=np.uint8).reshape(6, 8, 1), 3, 2)
    assert detecting.is_grey(grey)
    for channel in range(3):
        other = grey.copy()
        other[5, 7, channel] += 1
        assert not detecting.is_grey(other)


def test_patches_are_cut_anywhere_and_mirrored() -> None:
    (item,) = synthetic(1, 20)
    rng = np.random.default_rng(0)
    places = {
        (top, left, way): item[top : top + 16, left : left + 16][:, ::way]
        for top in range(5)
        for left in range(5)
        for way in (1, -1)
    }
    found = set()
    for _ in range(200):
        patch = cut(item, 16, rng, 0.0)
        found |= {place for place, window in places.items() if (patch == window).all()}
        assert any((patch == window).all() for window in places.values())
    assert len(found) > 40


@pytest.mark.parametrize(("height", "width"), [(300, 200), (40, 90), (12, 30)])
def test_patches_have_one_size_whatever_they_were_cut_at(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    # Stripes of 8 px: how many there are in a patch tells how large it was.
    picture[:, np.arange(width) % 16 < 8] = 255
    rng = np.random.default_rng(0)
    changes = []
    for _ in range(60):
        patch = cut(picture, 32, rng, 1.0)
        assert patch.shape == (32, 32, 3)
        assert patch.dtype == np.uint8
        changes.append(int((np.diff((patch[16, :, 0] > 127).astype(int)) != 0).sum()))
    # Half the size to twice it, unless the picture is smaller.
    assert min(changes) <= 2
    if min(height, width) >= 64:
        assert max(changes) >= 6
        assert max(changes) <= 8
    elif min(height, width) < 16:
        assert max(changes) <= 2


def test_a_share_of_the_patches_is_resized() -> None:
    (item,) = synthetic(1, 70)
    item[...] = np.random.default_rng(0).integers(0, 256, item.shape, np.uint8)
    rng = np.random.default_rng(1)
    windows = {
        item[top : top + 32, left : left + 32].tobytes() for top in range(39) for left in range(39)
    }
    whole = 0
    for _ in range(200):
        patch = cut(item, 32, rng, 0.4)
        whole += patch.tobytes() in windows or patch[:, ::-1].tobytes() in windows
    assert 0.5 < whole / 200 < 0.7


class One(Layers):
    """Always the same layer."""

    def __init__(self, layer: Layer | None):
        self.layer = layer

    def crop(
        self, side: int, rng: np.random.Generator, edges: tuple[int, int] = (0, 0)
    ) -> Layer | None:
        """That layer."""
        return self.layer


def task_with(layer: Layer | None, items: list[Array]) -> Detecting:
    config = Config(network=Network((8, 8), (1, 1)), patch=32, layers={"drawn": 1.0})
    return Detecting(Pictures(items, "test"), Pictures(items[:1], "test"), config, CPU, One(layer))


def as_it_is(picture: Array, rng: np.random.Generator) -> Array:
    """In place of a look or a scan."""
    return picture


@pytest.mark.parametrize("edges", [(-1, 0), (0, 1), (1, -1), (0, 0)])
def test_patches_at_an_edge_show_its_mirror_image_as_at_run_time(edges: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (90, 80, 3), np.uint8)
    patch = cut(picture, 64, rng, 0.0, edges)
    seen, label = beyond(patch, np.zeros((64, 64), np.uint8), edges)
    assert seen.shape == patch.shape
    down, across = edges
    if edges != (0, 0):
        # A tile as the detector is given it, from `MARGIN` px beyond the photo's edge on.
        grid = Grid(64, 64, 0)
        top, left = (
            (-MARGIN, None, n + MARGIN - 64)[edge + 1]
            for edge, n in zip(edges, (90, 80), strict=True)
        )
        tops = range(90 - 64 + 1) if top is None else [top]
        lefts = range(80 - 64 + 1) if left is None else [left]
        ways = [tiling.cut(picture, y, (x,), grid)[0] for y in tops for x in lefts]
        ways += [way[..., ::-1] for way in ways if not across]
        found = seen.transpose(2, 0, 1) / np.float32(255)
        assert any(np.allclose(found, way) for way in ways)
    faint = np.zeros((64, 64), bool)
    faint[: MARGIN if down < 0 else 0] = faint[64 - MARGIN if down > 0 else 64 :] = True
    faint[:, : MARGIN if across < 0 else 0] = faint[:, 64 - MARGIN if across > 0 else 64 :] = True
    np.testing.assert_array_equal(label == FAINT, faint)


def test_damage_of_most_grey_photos_is_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "look_old", as_it_is)
    monkeypatch.setattr(detecting, "scanned", as_it_is)
    monkeypatch.setattr(detecting, "AT_EDGES", 0)
    monkeypatch.setattr(detecting, "RETONED", 0)
    red = Layer(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 1), np.uint8))
    red.opacity[:, 10:20] = 255
    red.colour[:, 10:20, 0] = 240
    (coloured,) = synthetic(1, 40)
    grey = np.repeat(coloured[..., :1], 3, 2)
    task = task_with(red, [coloured, grey])
    rng = np.random.default_rng(0)
    samples = [task._sample(grey, rng) for _ in range(200)]
    assert 0.6 < np.mean([detecting.is_grey(patch) for patch, _ in samples]) < 0.8
    samples += [task._sample(coloured, rng) for _ in range(20)]
    for patch, label in samples:
        colours = patch[label == 1]
        assert len(colours)
        assert (colours == (240, 0, 0)).all() or (colours == (80, 80, 80)).all()
    assert all((patch[:, 10:20] == (240, 0, 0)).all() for patch, _ in samples[200:])


def always_toned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every damaged sample be toned, and nothing else be done to it."""
    for name in ("look_old", "scanned"):
        monkeypatch.setattr(detecting, name, as_it_is)
    for name, share in (("AT_EDGES", 0), ("GREY_SCANS", 0), ("RETONED", 1)):
        monkeypatch.setattr(detecting, name, share)


def test_the_tone_of_some_prints_lies_over_their_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red damage of a grey print is then of the print's tone, and is labelled as before."""
    always_toned(monkeypatch)
    red = Layer(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 1), np.uint8))
    red.opacity[:, 15:16] = 255
    red.colour[:, 15:16, 0] = 150
    grey = np.full((40, 40, 3), 128, np.uint8)
    task = task_with(red, [grey])
    rng = np.random.default_rng(0)
    for _ in range(20):
        patch, label = task._sample(grey, rng)
        assert (label == 1).sum() == 32
        red_over_blue = patch[label == 1].astype(int) @ (1, 0, -1)
        assert np.abs(red_over_blue).max() < 100


def test_colours_of_the_damage_do_not_change_the_tone_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A nearly grey print with much red damage is no colour photo; its sound pixels stay sound."""
    always_toned(monkeypatch)
    red = Layer(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 1), np.uint8))
    red.opacity[:, 8:20] = 255
    red.colour[:, 8:20, 0] = 255
    pale = np.full((40, 40, 3), (140, 120, 100), np.uint8)
    task = task_with(red, [pale])
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, label = task._sample(pale, rng)
        assert (label[:, :8] == 0).all()
        assert (label[:, 20:] == 0).all()
        assert (label[:, 8:20] == 1).mean() > 0.9


def test_labels_are_by_what_is_left_to_see() -> None:
    rng = np.random.default_rng(3)
    sound = rng.integers(20, 230, (40, 30, 3), np.uint8)
    damaged = (sound + rng.integers(-20, 21, sound.shape)).astype(np.uint8)
    before = rng.choice(np.array([0, 1, FAINT], np.uint8), (40, 30))
    labels = detecting.seen(before, damaged, sound)
    assert labels.dtype == np.uint8
    cases = set()
    for y, x in np.ndindex(40, 30):
        change = max(abs(int(damaged[y, x, c]) - int(sound[y, x, c])) for c in range(3))
        case = (int(before[y, x]), change >= VISIBLE * 255)
        expected = {(0, False): 0, (1, True): 1}.get(case, FAINT)
        assert labels[y, x] == expected
        cases.add(case)
    assert len(cases) == 6


def test_a_scratch_that_the_scan_blurs_away_is_faint(monkeypatch: pytest.MonkeyPatch) -> None:
    def blurred(picture: Array, rng: np.random.Generator) -> Array:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), np.uint8)

    monkeypatch.setattr(detecting, "look_old", as_it_is)
    monkeypatch.setattr(detecting, "scanned", blurred)
    for name in ("AT_EDGES", "GREY_SCANS", "RETONED"):
        monkeypatch.setattr(detecting, name, 0)
    scratches = Layer(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 1), np.uint8))
    scratches.opacity[:, 6], scratches.colour[:, 6] = 30, 30  # 6 % more light, 1 px wide
    scratches.opacity[:, 20:26] = 255
    grey = np.full((40, 40, 3), 120, np.uint8)
    task = task_with(scratches, [grey])
    rng = np.random.default_rng(0)
    samples = [task._sample(grey, rng) for _ in range(20)]
    # Most are scanned, not all.
    sharp = [label for patch, label in samples if (patch[:, 19] == 120).all()]
    blurry = [label for patch, label in samples if (patch[:, 19] < 120).all()]
    assert len(sharp) + len(blurry) == 20
    assert all((label[:, (6, 20, 25)] == 1).all() for label in sharp)
    assert sharp
    for label in blurry:
        assert (label[:, 6] == FAINT).all()
        assert (label[:, 20:26] == 1).all()
        # What the broad one was blurred into is none, and is not sound either.
        assert (label[:, (19, 26)] == FAINT).all()


def test_undamaged_patches_have_no_labels() -> None:
    task = task_with(None, synthetic(1, 40))
    rng = np.random.default_rng(0)
    for _ in range(20):
        patch, label = task._sample(task.items[0], rng)
        assert patch.shape == (32, 32, 3)
        assert not (label == 1).any()
        # Only what lies beyond the photo's edge counts for nothing.
        assert (label == 0).sum() in (32 * 32, 32 * 24, 24 * 24)


def test_the_loss_of_a_step_hangs_on_its_random_numbers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layers, "SIDE", 64)
    config = Config(network=Network((8, 8), (1, 1)), patch=32, layers={"drawn": 1.0, "none": 0.2})
    items = synthetic(6, 48)
    tasks = [
        Detecting(Pictures(items, "a"), Pictures(items[:1], "a"), config, CPU,
                  Layers(config.layers, 0, count=3))
        for _ in range(2)
    ]  # fmt: skip
    network, chosen = Hinted(), np.array([0, 3, 5])
    losses = [
        float(task.loss(network, chosen, np.random.default_rng(seed)))
        for task, seed in ((tasks[0], 1), (tasks[1], 1), (tasks[0], 2))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_step_is_of_one_to_three_sizes_coarse_to_fine() -> None:
    task = task_with(None, synthetic(1, 40))
    counts = []
    for seed in range(100):
        network = Hinted()
        task.loss(network, np.array([0]), np.random.default_rng(seed))
        assert [image.shape[2] for image, _ in network.given] == [8, 16, 32][-len(network.given) :]
        assert not network.given[0][1].any()
        # What is found is handed on, and nothing is learnt through that.
        for _, coarse in network.given[1:]:
            assert coarse.min() > 0
            assert not coarse.requires_grad
        counts.append(len(network.given))
    shares = [counts.count(levels) / 100 for levels in (1, 2, 3)]
    assert shares == pytest.approx([0.15, 0.5, 0.35], abs=0.13)


def test_coarser_sizes_count_half_and_have_labels_of_the_finest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = Layer(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 1), np.uint8))
    # Of four rows one is damage: at a quarter of the size less than what counts.
    layer.opacity[8::4] = 255
    task = task_with(layer, [picture // 2 + 100 for picture in synthetic(1, 40)])
    given: list[Tensor] = []

    def recorded(odds: Tensor, labels: Tensor) -> Tensor:
        given.append(labels)
        return torch.tensor(float(labels.shape[2]))

    monkeypatch.setattr(detecting, "detection_loss", recorded)
    seen = set()
    for seed in range(20):
        given.clear()
        loss = float(task.loss(Hinted(), np.array([0]), np.random.default_rng(seed)))
        assert loss == 32 + sum(0.5 * (32 >> n) for n in range(1, len(given)))
        for labels in given[:-1]:
            times = 32 // labels.shape[2]
            assert torch.equal(labels, detecting.coarse_labels(given[-1], times))
        seen.add(len(given))
    assert seen == {1, 2, 3}


@pytest.mark.parametrize("kinds", [None, ("stain",), ("dust", "hair")])
def test_labels_of_aged_photographs(kinds: tuple[str, ...] | None) -> None:
    sound = np.asarray(synthetic(1, 96)[0] // 2 + 60, np.uint8)
    after, labels = detecting.aged(sound, np.random.default_rng(2), kinds)
    for y, x in np.ndindex(*labels.shape):
        change = int(np.abs(sound[y, x].astype(int) - after[y, x]).max())
        assert labels[y, x] == (0 if change == 0 else 1 if change >= VISIBLE * 255 else FAINT)
    assert set(np.unique(labels).tolist()) == {0, 1, FAINT}


def test_aged_grey_photographs_are_mostly_damaged_in_grey() -> None:
    grey = np.repeat(synthetic(1, 48)[0][..., :1] // 2 + 60, 3, 2)
    results = [detecting.aged(grey, np.random.default_rng(i), ("stain",)) for i in range(40)]
    assert all((labels == 1).any() for _, labels in results)
    assert 0.5 < np.mean([detecting.is_grey(after) for after, _ in results]) < 0.9


def test_validation_is_the_same_for_every_run() -> None:
    held_out = Pictures(
        [picture[: 90 - i // 2] for i, picture in enumerate(synthetic(13, 90))], "test"
    )
    samples = detecting.validation_samples(held_out)
    again = detecting.validation_samples(held_out)
    assert len(samples) == 13
    for index, ((image, label), (other, same)) in enumerate(zip(samples, again, strict=True)):
        assert (image == other).all()
        assert (label == same).all()
        assert image.shape == (*label.shape, 3) == (80, 80, 3)
        assert image.dtype == label.dtype == np.uint8
        assert set(np.unique(label)) <= {0, 1, FAINT}
        # Every sixth is undamaged; of the others none is all damage.
        assert bool((label == 1).any()) == bool(index % 6)
        assert (label == 0).any()
    sides = {label.shape[0] for _, label in detecting.validation_samples(held_out, 32)}
    assert sides == {64}


def test_a_detector_that_knows_is_given_full_marks() -> None:
    items = synthetic(4, 48)
    task = task_with(None, items)
    rng = np.random.default_rng(0)
    task.validation = []
    for item in items:
        label = (rng.random((48, 48)) < 0.1).astype(np.uint8)
        label[:4] = FAINT
        picture = item.copy()
        picture[..., 0] = np.where(label, 255, 0)
        task.validation.append((picture, label))

    class Knowing(nn.Module):
        def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
            return (image[:, :1] - 0.5) * 20

    scores = task.scores(Knowing())
    assert next(iter(scores)) == task.score == "f1"
    assert scores["f1"] == scores["auc"] == 1
    assert 0 < scores["threshold"] <= 1

    class Blind(nn.Module):
        def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
            return torch.zeros_like(coarse)

    scores = task.scores(Blind())
    assert scores["auc"] == pytest.approx(0.5)
    assert scores["f1"] < 0.25
