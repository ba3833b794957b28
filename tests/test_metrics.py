"""Scores agree with independent code and with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import metrics
from inpaintcli.arrays import Floats
from inpaintcli.errors import UsageError

skimage_metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is the reference")


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.random(shape, np.float32)
    return x, np.clip(x + rng.normal(0, 0.1, shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 33), (24, 50, 3)])
def test_ssim_and_psnr_are_those_of_scikit_image(shape: tuple[int, ...]) -> None:
    x, y = pair(shape)
    expected, expected_map = skimage_metrics.structural_similarity(
        x.astype(float), y.astype(float), gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1.0, full=True,
        channel_axis=2 if len(shape) == 3 else None,
    )  # fmt: skip
    ours = metrics.ssim_map(x, y)
    reference = expected_map.mean(2) if len(shape) == 3 else expected_map
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    # scikit-image's mean leaves out a border of 5 px.
    assert ours[5:-5, 5:-5].mean() == pytest.approx(expected, abs=1e-5)
    assert metrics.psnr(x, y) == pytest.approx(
        skimage_metrics.peak_signal_noise_ratio(x, y, data_range=1.0), abs=1e-4
    )


def test_dice_is_milletari_and_one_only_for_equal_pictures() -> None:
    x = np.array([[0.5, 1.0], [0.0, 0.25]], np.float32)
    y = np.array([[0.25, 1.0], [0.5, 0.25]], np.float32)
    assert metrics.dice(x, x) == 1
    by_hand = 2 * (0.125 + 1 + 0 + 0.0625) / ((0.25 + 1 + 0.0625) + (0.0625 + 1 + 0.25 + 0.0625))
    assert metrics.dice(x, y) == pytest.approx(by_hand)
    # The article's form is not 1 for equal grey pictures; ours is.
    assert metrics.dice(x * 0.5, x * 0.5) == 1
    assert metrics.dice(np.zeros_like(x), np.zeros_like(x)) == 1


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_dice_of_binary_masks_is_sorensen_dice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 9, 7)) < 0.4
    sets = 2 * (a & b).sum() / max(1, a.sum() + b.sum())
    assert metrics.dice(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(sets)


def test_hole_scores_count_damaged_pixels_only() -> None:
    reference = np.full((32, 32, 3), 100, np.uint8)
    restored = reference.copy()
    restored[:16] = 200
    mask = np.zeros((32, 32), bool)
    mask[20:24] = True
    scores = metrics.score(restored, reference, mask)
    assert scores.hole_psnr == metrics.PSNR_OF_EQUAL
    assert scores.hole_ssim is not None
    assert scores.hole_ssim > scores.ssim
    assert scores.damaged == 4 / 32
    assert metrics.score(restored, reference).hole_psnr is None
    assert metrics.score(restored, reference, np.zeros((32, 32), bool)).hole_ssim is None


def test_depths_alpha_and_grey_are_comparable() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (12, 9, 1)).astype(np.uint8)
    deep_rgba = np.concatenate(
        [np.repeat(grey.astype(np.uint16) * 257, 3, 2), np.full((12, 9, 1), 7, np.uint16)], 2
    )
    assert metrics.score(grey, deep_rgba).dice == pytest.approx(1, abs=1e-6)
    assert metrics.score(grey[..., 0], grey).psnr == metrics.PSNR_OF_EQUAL


def test_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="the reference is 9x12, the picture 12x9"):
        metrics.score(np.zeros((9, 12), np.uint8), np.zeros((12, 9), np.uint8))


def test_mean_leaves_out_what_a_picture_does_not_have() -> None:
    black = np.zeros((8, 8), np.uint8)
    mask = np.ones((8, 8), bool)
    mean = metrics.mean([metrics.score(black, black), metrics.score(black + 1, black, mask)])
    assert mean.hole_psnr == pytest.approx(-20 * np.log10(1 / 255), abs=1e-3)
    assert mean.damaged == 1
