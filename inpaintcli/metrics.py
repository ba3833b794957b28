"""How close a restored picture is to its reference: Dice, PSNR, SSIM and MAE.

Pictures are compared as float32 intensities in [0, 1]. Masks are bool (h, w), True = damaged.
"Hole" scores count damaged pixels only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels, check_pixels, size
from inpaintcli.errors import UsageError

#: What PSNR says of equal pictures, where the formula gives infinity: JSON has no infinity.
PSNR_OF_EQUAL = 100.0


@dataclass(frozen=True)
class Scores:
    """All scores of one picture, or their mean over several.

    dice: 0 to 1; psnr, hole_psnr: dB; ssim, hole_ssim: -1 to 1; mae: 0 to 1;
    texture: see `texture_ratio`; damaged: share of damaged pixels, 0 to 1. Hole scores and texture
    are None without damaged pixels.
    """

    dice: float
    psnr: float
    ssim: float
    mae: float
    hole_psnr: float | None = None
    hole_ssim: float | None = None
    texture: float | None = None
    damaged: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """The scores by name, for JSON."""
        return asdict(self)


def intensities(pixels: Pixels) -> Floats:
    """The pixels as float32 in [0, 1]."""
    return np.asarray(pixels, np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def dice(x: Floats, y: Floats) -> float:
    """Dice coefficient `2·Σxy / (Σx² + Σy²)` (Milletari et al. 2016): 1 for equal pictures only.

    Of binary masks it is the Sørensen-Dice coefficient. Two all-black pictures score 1.
    """
    both = 2 * float(np.sum(x * y, dtype=np.float64))
    each = float(np.sum(x * x, dtype=np.float64)) + float(np.sum(y * y, dtype=np.float64))
    return both / each if each else 1.0


def psnr(x: Floats, y: Floats, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB, over damaged pixels if a mask is given.

    At most PSNR_OF_EQUAL, which stands for "equal".
    """
    error = mean_square(x, y, mask)
    return min(PSNR_OF_EQUAL, -10 * math.log10(error)) if error else PSNR_OF_EQUAL


def mean_square(x: Floats, y: Floats, mask: Mask | None = None) -> float:
    """Mean squared error over all pixels, or over the damaged ones."""
    difference = x - y if mask is None else x[mask] - y[mask]
    return float(np.mean(np.square(difference), dtype=np.float64))


def mae(x: Floats, y: Floats, mask: Mask | None = None) -> float:
    """Mean absolute error over all pixels, or over the damaged ones."""
    difference = x - y if mask is None else x[mask] - y[mask]
    return float(np.mean(np.abs(difference), dtype=np.float64))


def ssim_map(x: Floats, y: Floats) -> Floats:
    """Structural similarity (Wang et al. 2004) at every pixel, (h, w), mean over the channels.

    Gaussian window of sigma 1.5 and 11 px, K1 = 0.01, K2 = 0.03, population covariance, mirrored
    borders: scikit-image's `structural_similarity(gaussian_weights=True,
    use_sample_covariance=False)`.
    """
    c1, c2 = 0.01**2, 0.03**2
    x, y = np.atleast_3d(x), np.atleast_3d(y)
    total = np.zeros(x.shape[:2], np.float32)
    for channel in range(x.shape[2]):
        a, b = x[..., channel].astype(np.float64), y[..., channel].astype(np.float64)
        mean_a, mean_b = _window(a), _window(b)
        variance_a = _window(a * a) - mean_a * mean_a
        variance_b = _window(b * b) - mean_b * mean_b
        covariance = _window(a * b) - mean_a * mean_b
        total += ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
            (mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2)
        )
    return total / np.float32(x.shape[2])


def texture_ratio(x: Floats, y: Floats, mask: Mask) -> float:
    """How much of the fine detail of `y` the damaged pixels of `x` have: 1 for as much, 0 for none.

    The standard deviation of the Laplacian (4 neighbours) of the luminance of (h, w, c)
    intensities, over the damaged pixels, over that of `y`. What is flat in `y` to within a quarter
    of an 8-bit step has no texture to compare with and counts as that.
    """
    deviations = [
        float(cv2.Laplacian(z.mean(2, dtype=np.float32), cv2.CV_32F)[mask].std()) for z in (x, y)
    ]
    return deviations[0] / max(deviations[1], 0.25 / 255)


def _window(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred = cv2.GaussianBlur(plane, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float64)


def score(restored: Pixels, reference: Pixels, mask: Mask | None = None) -> Scores:
    """All scores of one picture; the hole scores where `mask` has damaged pixels.

    Pictures may be (h, w) or (h, w, c) with c = 1 to 4; alpha is left out, grey beside colour is
    compared as colour, and each is scaled by its own depth. Raises UsageError where sizes differ.
    """
    for pixels in (restored, reference):
        check_pixels(pixels)
    x, y = _colours(restored), _colours(reference)
    if x.shape[:2] != y.shape[:2]:
        raise UsageError(
            f"the reference is {size(y.shape)}, the picture {size(x.shape)}: give one of its size"
        )
    if mask is not None and mask.shape != x.shape[:2]:
        raise UsageError(
            f"the mask is {size(mask.shape)}, the picture {size(x.shape)}: give one of its size"
        )
    if x.shape[2] != y.shape[2]:
        x, y = (np.repeat(z, 3, 2) if z.shape[2] == 1 else z for z in (x, y))
    similarity = ssim_map(x, y)
    holes = mask is not None and bool(mask.any())
    return Scores(
        dice=dice(x, y),
        psnr=psnr(x, y),
        ssim=float(similarity.mean(dtype=np.float64)),
        mae=mae(x, y),
        hole_psnr=psnr(x, y, mask) if holes else None,
        hole_ssim=float(similarity[mask].mean(dtype=np.float64)) if holes else None,
        texture=texture_ratio(x, y, mask) if holes and mask is not None else None,
        damaged=None if mask is None else float(mask.mean()),
    )


def _colours(pixels: Pixels) -> Floats:
    """(h, w, 1 or 3) intensities without alpha."""
    planes = np.atleast_3d(pixels)
    return intensities(planes[..., :3] if planes.shape[2] >= 3 else planes[..., :1])


def mean(scores: Iterable[Scores]) -> Scores:
    """The mean of each score over the pictures that have it."""
    rows = [one.to_dict() for one in scores]

    def over(name: str) -> float | None:
        values = [row[name] for row in rows]
        present = [value for value in values if value is not None]
        return sum(present) / len(present) if present else None

    columns = {name: over(name) for name in rows[0]}
    return Scores(**columns)  # type: ignore[arg-type]
