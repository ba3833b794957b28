"""Give a restored photo's filled pixels the grain of what surrounds them.

A fill is smoother than a grainy scan and shows as a patch. The grain is measured in known blocks
of 16 px by their power spectra, after Welch (1967): its amount for each brightness, where film
and sensors differ, and for each part of the photo; its colours by their principal axes; its scale
as one spectrum along each axis. White noise filtered to these spectra is then added to the filled
pixels, as much of it as the fill lacks.

Grain is told from texture by its evenness: where there is grain, the calmest blocks are all about
equally restless, whereas the calmest blocks of a clean photo have no such floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.errors import UsageError

#: The largest strength: more has no photographic sense.
STRONGEST = 4.0
#: Side of the blocks that are measured, in pixels: flat places of this size are common.
BLOCK = 16
#: auto leaves photos alone whose grain has a lower standard deviation, in [0, 1].
FAINT = 2 / 255
#: Grain is local to windows of this many blocks, measured together with their neighbours.
WINDOW = 8
#: Levels of brightness that are measured each by itself.
LEVELS = 8
#: Fewer blocks have no quantiles to speak of.
ENOUGH = 24
#: The calmest tenth of flat grainy blocks spans less than this factor of energy, and energies
#: up to this multiple of the mean are chance. Of blurred grain they vary more than of white.
EVEN = 1.6
#: auto wants this share of a photo to be flat; grass and fur are rarely so even.
FLAT = 0.25
#: Grain energy differs by less than this over the levels: what has more is texture.
CONTRAST = 10.0
#: Blocks whose spectra are averaged, at most.
SAMPLES = 1024
#: Side of the square of noise that repeats over the photo.
PERIOD = 512
#: Fall of the logarithm of a spectrum per squared cycle: grain is not blurred by over 2 px.
STEEPEST = -0.6
#: Rows that are worked on at a time: a multiple of BLOCK.
STRIP = 128
#: The fill's own grain is what a Gaussian of this sigma takes away, in pixels ...
SIGMA = 1.5
#: ... averaged over squares of this side.
AROUND = 17

_HANN = np.hanning(BLOCK + 1)[:-1]
_TAPER = np.outer(_HANN, _HANN).astype(np.float32)
_TAPER /= np.sqrt(np.square(_TAPER).sum())
_CYCLES = np.fft.fftfreq(BLOCK, 1 / BLOCK)
#: Squared frequency of each bin of a block's spectrum, in cycles per block.
_RADIUS = _CYCLES[:, None] ** 2 + _CYCLES[: BLOCK // 2 + 1] ** 2
#: Each bin's share of the mean over the whole spectrum, of which the right half is left out.
_SHARE = np.where(np.abs(_CYCLES[: BLOCK // 2 + 1]) % (BLOCK // 2) > 0, 2, 1) / BLOCK**2
#: The same for the bins that shading does not reach: at least two cycles per block.
_FINE = np.where(_RADIUS >= 4, _SHARE, 0)


@dataclass(frozen=True)
class _Survey:
    """What the blocks of a photo are like: (h // BLOCK, w // BLOCK) each.

    light: mean luminance in [0, 1]. energy: of the luminance at the _FINE frequencies, NaN where
    the block is damaged or clipped, and where it or one beside it has less than rounding makes: a
    border or a caption bar says nothing of the photo. grey: all three channels are equal
    everywhere.
    """

    light: Floats
    energy: Floats
    grey: bool


def parse_strength(text: str) -> float | None:
    """The strength that "auto" (None), "off" (0) or a number from 0 to 4 stands for.

    Raises UsageError for anything else.
    """
    if text in ("auto", "off"):
        return None if text == "auto" else 0.0
    try:
        strength = float(text)
    except ValueError:
        raise _refusal(text) from None
    if not 0 <= strength <= STRONGEST:
        raise _refusal(text)
    return strength


def add_grain(pixels: Pixels, mask: Mask, strength: float | None = None, seed: int = 0) -> bool:
    """Give the filled part of a photo the grain of its surroundings, in place.

    pixels: (h, w, 3) uint8 or uint16, already filled; only those where mask is True change, and
    grey stays grey. mask: bool (h, w), True = filled. strength: the standard deviation that the
    fill's grain ends up with, as a multiple of its surroundings', 0 to 4; None takes 1 if the
    photo is grainy, 0 if it is clean or too busy to tell. The same seed gives the same grain.

    Returns whether any pixel has changed: none does where no grain is wanted, where too little is
    known to measure it, and where the fill has enough. Raises UsageError for a strength that is
    out of range.
    """
    if strength is not None and not 0 <= strength <= STRONGEST:
        raise _refusal(f"{strength:g}")
    if strength == 0 or not mask.any():
        return False
    survey = _survey(pixels, mask)
    levels = _levels(survey, sure=strength is None)
    if levels is None:
        return False
    expected = _at(levels, survey.light)
    relative = (survey.energy / np.maximum(expected, 1e-12)).astype(np.float32)
    if strength is None and not _is_grainy(relative):
        return False
    template = _template(pixels, relative, survey.grey, seed)
    if template is None:
        return False
    typical = np.median(expected[~np.isnan(survey.energy)]) ** 0.5 * template.std()
    if strength is None and typical < FAINT:
        return False
    return _apply(pixels, mask, levels, _gains(relative, mask), template, strength or 1.0)


def _refusal(strength: str) -> UsageError:
    return UsageError(f"--grain {strength}: give auto, off or a number from 0 to {STRONGEST:g}")


def _luminance(pixels: Pixels) -> Floats:
    """The mean of the channels, (h, w) in [0, 1]."""
    weights = np.full((1, 3), 1 / 3 / np.iinfo(pixels.dtype).max)
    return np.asarray(cv2.transform(pixels.astype(np.float32), weights), np.float32).reshape(
        pixels.shape[:2]
    )


def _spectra(blocks: Floats) -> NDArray[np.complex64]:
    """Spectra of blocks (..., BLOCK, BLOCK): the mean squared modulus is a block's variance."""
    blocks = blocks - blocks.mean((-2, -1), keepdims=True)
    return np.fft.rfft2(blocks * _TAPER).astype(np.complex64)


def _survey(pixels: Pixels, mask: Mask) -> _Survey:
    """Measure all whole blocks of a photo."""
    rows, columns = (length // BLOCK for length in mask.shape)
    light = np.zeros((rows, columns), np.float32)
    energy = np.full((rows, columns), np.nan, np.float32)
    grey = True
    rounding = 1 / 12 / np.iinfo(pixels.dtype).max ** 2
    for top in range(0, len(mask), STRIP):
        strip = pixels[top : top + STRIP]
        grey = grey and bool((strip == strip[..., :1]).all())
        at = np.s_[top // BLOCK : (top + len(strip)) // BLOCK]
        blocks = _blocks(_luminance(strip))
        clipped = ((blocks < FAINT) | (blocks > 1 - FAINT)).mean((2, 3)) > 0.05
        usable = ~clipped & ~_blocks(mask[top : top + STRIP]).any((2, 3))
        light[at] = blocks.mean((2, 3))
        energy[at][usable] = (
            np.square(np.abs(_spectra(blocks[usable]))).reshape(-1, _FINE.size) @ _FINE.ravel()
        )
    flat = np.asarray(energy < rounding, np.uint8)
    if flat.any():
        # Blocks beside them may be half flat, or have the border's edge in them.
        energy[cv2.dilate(flat, np.ones((3, 3), np.uint8)) > 0] = np.nan
    return _Survey(light, energy, grey)


def _blocks(plane: NDArray[Any]) -> NDArray[Any]:
    """The whole blocks of a plane, (rows, columns, BLOCK, BLOCK)."""
    rows, columns = (length // BLOCK for length in plane.shape)
    whole = plane[: rows * BLOCK, : columns * BLOCK]
    return whole.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)


def _floor(energy: Floats) -> tuple[float, bool]:
    """The mean energy of the flat blocks among these, and whether they are even enough to be so.

    Infinity, False where there are too few blocks.
    """
    energy = energy[~np.isnan(energy)]
    if len(energy) < ENOUGH:
        return np.inf, False
    lowest, low = np.quantile(energy, [0.02, 0.1])
    floor = float(low)
    for _ in range(2):
        # The calmest tenth are calm by chance too: flat are all that one floor explains.
        floor = float(energy[energy <= 2 * floor].mean())
    return floor, bool(low < EVEN * lowest)


def _is_grainy(relative: Floats) -> bool:
    """Whether blocks have even energies over all levels of luminance, and enough of them."""
    known = relative[~np.isnan(relative)]
    return _floor(known)[1] and float((known <= EVEN).mean()) >= FLAT


def _levels(survey: _Survey, sure: bool) -> Floats | None:
    """Grain energy at LEVELS + 1 levels of luminance from 0 to 1; None where there is no grain.

    sure: only what is even enough is grain; otherwise the calmest blocks have to do.
    """
    level = np.rint(survey.light * LEVELS)
    found = [_floor(survey.energy[level == one]) for one in range(LEVELS + 1)]
    even = [(one, floor) for one, (floor, is_even) in enumerate(found) if is_even]
    if not even:
        known = survey.energy[~np.isnan(survey.energy)]
        if sure or not len(known):
            return None
        even = [(0, float(np.quantile(known, 0.05)))]
    # Nowhere can there be much more grain than the calmest even places have.
    most = CONTRAST * min(floor for _, floor in even)
    floors = [min(floor, most) for _, floor in even]
    return np.interp(np.arange(LEVELS + 1), [one for one, _ in even], floors).astype(np.float32)


def _at(levels: Floats, light: Floats) -> Floats:
    """Grain energy at these luminances."""
    return np.interp(light * LEVELS, np.arange(LEVELS + 1), levels).astype(np.float32)


def _gains(relative: Floats, mask: Mask) -> Floats:
    """What to multiply the grain energy of each block by, (h / BLOCK, w / BLOCK) rounded up.

    relative: energy of the blocks, 1 = as their luminance lets expect.
    """
    rows, columns = (-(-length // BLOCK) for length in mask.shape)
    gains = np.ones((-(-rows // WINDOW), -(-columns // WINDOW)), np.float32)
    for y, x in np.ndindex(gains.shape):
        near = np.s_[
            max(0, y - 1) * WINDOW : (y + 2) * WINDOW, max(0, x - 1) * WINDOW : (x + 2) * WINDOW
        ]
        floor, is_even = _floor(relative[near])
        gains[y, x] = min(floor, CONTRAST if is_even else 1.0)
    enlarged = cv2.resize(gains, (gains.shape[1] * WINDOW, gains.shape[0] * WINDOW))
    return np.asarray(enlarged[:rows, :columns], np.float32)


def _template(pixels: Pixels, relative: Floats, grey: bool, seed: int) -> Floats | None:
    """Noise (PERIOD, PERIOD, 3) that repeats without a seam, with energy 1 in luminance.

    (PERIOD, PERIOD, 1) for grey photos; None where the photo has no flat blocks.
    """
    flat = np.argwhere(relative <= EVEN)
    flat = flat[:: -(-len(flat) // SAMPLES) or 1] * BLOCK
    if not len(flat):
        return None
    blocks = np.stack([pixels[y : y + BLOCK, x : x + BLOCK, : 1 if grey else 3] for y, x in flat])
    scale = np.float32(1 / np.iinfo(pixels.dtype).max)
    spectra = _spectra(blocks.transpose(0, 3, 1, 2) * scale)
    # The principal axes of the colours: along each, grain is a plane of its own.
    covariance = np.einsum("ncyx,ndyx,yx->cd", spectra, spectra.conj(), _FINE).real
    _, axes = np.linalg.eigh(covariance)
    random = np.random.default_rng(seed)
    noise = np.zeros((PERIOD, PERIOD, len(axes)), np.float32)
    energy = 0.0
    for axis in axes.T.astype(np.float32):
        power = np.square(np.abs(np.einsum("c,ncyx->nyx", axis, spectra))).mean(0)
        power = _without_shading(power)
        kernel = np.fft.fftshift(np.fft.irfft2(np.sqrt(power)))[1:, 1:].astype(np.float32)
        white = random.standard_normal((PERIOD, PERIOD), np.float32)
        wrapped = np.pad(white, BLOCK, mode="wrap")
        plane = cv2.filter2D(wrapped, -1, kernel)[BLOCK:-BLOCK, BLOCK:-BLOCK]
        noise += plane[..., None] * axis
        energy += float(axis.mean()) ** 2 * float((power * _FINE).sum())
    return noise / np.float32(np.sqrt(energy)) if energy else None


def _without_shading(power: Floats) -> Floats:
    """A spectrum whose lowest bins, which shading is in too, follow from those above them.

    Grain falls off about as a Gaussian does, so the logarithm is linear in squared frequency.
    """
    known = (_RADIUS >= 4) & (_RADIUS < 16)
    radius = _RADIUS[known]
    logs = np.log(np.maximum(power[known], 1e-20))
    slope = float(np.clip(np.polyfit(radius, logs, 1)[0], STEEPEST, 0))
    guess = np.exp(logs.mean() + slope * (_RADIUS - radius.mean()))
    return np.where(_RADIUS < 4, guess, power).astype(np.float32)


def _apply(
    pixels: Pixels,
    mask: Mask,
    levels: Floats,
    gains: Floats,
    template: Floats,
    strength: float,
) -> bool:
    """Add the template to the masked pixels, as much of it as they lack; whether any changed."""
    changed = False
    top_value = np.iinfo(pixels.dtype).max
    luminance = template.mean(2)
    rough = float(np.abs(luminance - cv2.GaussianBlur(luminance, (0, 0), SIGMA)).mean())
    apron = AROUND // 2 + 8
    before = pixels[:0]
    for top in range(0, len(mask), STRIP):
        start, end = max(0, top - apron), min(len(mask), top + STRIP + apron)
        # The rows above have grain by now, so they are kept as they were.
        rows = np.concatenate([before[len(before) - (top - start) :], pixels[top:end]])
        before = pixels[max(0, top + STRIP - apron) : top + STRIP].copy()
        inside = np.s_[top - start : top - start + STRIP]
        ys, xs = np.nonzero(mask[top : top + STRIP])
        if not len(ys):
            continue
        light = _luminance(rows)
        smooth = cv2.GaussianBlur(light, (0, 0), SIGMA)
        holes = mask[start:end].astype(np.float32)
        fine = cv2.blur(np.abs(light - smooth) * holes, (AROUND, AROUND))
        share = cv2.blur(holes, (AROUND, AROUND))
        # Mean moduli, not squares: a few edges in the fill must not pass for grain.
        present = (fine[inside][ys, xs] / share[inside][ys, xs] / rough) ** 2
        wanted = (
            _at(levels, np.asarray(smooth, np.float32)[inside][ys, xs])
            * gains[(top + ys) // BLOCK, xs // BLOCK]
        )
        amount = np.sqrt(np.maximum(wanted * strength**2 - present, 0)) * top_value
        noise = template[(top + ys) % PERIOD, xs % PERIOD] * amount[:, None]
        smoother = pixels[top + ys, xs]
        values = np.rint(np.clip(smoother + noise, 0, top_value)).astype(pixels.dtype)
        pixels[top + ys, xs] = values
        changed = changed or bool((values != smoother).any())
    return changed
