"""Find dust and scratches in the infrared channel of a film scanner.

The dyes of colour film let infrared through and dust does not, so that a speck is dark there
whatever the picture shows: the idea behind the infrared cleaning of all film scanners. Three
things stand between the channel and a mask, and each is taken off in density, the negative
decimal logarithm of what gets through, where they add up:

- The picture bleeds into the infrared, for cyan dye takes some of it, on slides more than on
  negatives. As in SANE's sanei_ir (Rickmann, 2012) the bleed is a regression on the logarithm of
  the picture; here on that of all channels and on their intensities, without the dust.
- Lamp, lens and film base shade it: a background of block medians, smoothed by a median again.
- It is noisy: the spread below the median, where there is no dust, is measured block by block.

What is still denser than the noise is damaged, with all that is fainter and touches it: two
thresholds, as Canny (1986) has for edges. Where scanner or lens have moved the infrared against
the colours, it is first moved back by whole pixels. Silver, of which black-and-white film is
made, stops infrared as it does light; there the picture itself stands in the channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels, check_pixels, size
from inpaintcli.errors import UsageError

#: Rows and columns at the border are film holder where most lets through less than this share.
OPAQUE = 0.1
#: How far infrared and colours are looked for apart, in pixels ...
REACH = 4
#: ... in squares of this side, this many along each side of the photo.
TILE, TILES = 192, 5
#: What they must share to be moved: this much more of their variance than unmoved.
SHARED = 0.003
#: How far they may still lie apart then.
SHIFT = 1
#: The density that a speck must have at sensitivity 0.5: it takes 9 % of the light ...
DENSITY = 0.04
#: ... and so many times as much at sensitivity 0, as little at sensitivity 1.
SPAN = 4.0
#: Regions of fewer pixels are not taken for specks by default: noise and grain make smaller ones.
LEAST_SPECK = 8
#: No speck is fainter than so many standard deviations of the noise ...
NOISE = 5.0
#: ... and what belongs to it is at least so dense, as a share of both.
FAINTER = 0.5
#: Less noise than this is not believed, as a density: 8 bits cannot show it.
QUIET = 0.002
#: Densities end where this share of full intensity gets through.
LEAST = 1 / 256
#: Sigma of the Gaussian that takes the finest noise away, in pixels.
BLUR = 0.7
#: Blocks of the background: this share of the shorter side ...
BLOCK = 1 / 24
#: ... but at least so many pixels; what covers up to four of nine blocks is not background.
LEAST_BLOCK = 48
#: Values that are looked at in a block, along each side.
SAMPLES = 48
#: The bleed is fitted on means of squares of at least this side, if the picture has room ...
SQUARE = 4
#: ... and so large that this many are enough.
SQUARES = 500_000
#: The picture without what is wider than this, in such squares, is what the bleed is fitted to.
DETAIL = 33
#: How often dust and bleed are told apart by turns.
ROUNDS = 4
#: A variance that holds the slopes down where the picture has no contrast.
RIDGE = 1e-6
#: A picture with less contrast than this, a standard deviation of densities, does not bleed.
FLAT = 0.005
#: Silver follows the picture with at least this slope, and by this share of its variance.
SILVER_SLOPE, SILVER_SHARE = 0.5, 0.5
#: Rows that are worked on at a time.
STRIP = 256

Canvas = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Found:
    """What an infrared channel says of a photo.

    Attributes:
        mask: (height, width), True = damaged.
        silver: Infrared carries the picture itself, as on black-and-white silver film: the mask
            is not to be trusted.
    """

    mask: Mask
    silver: bool


def find_damage(infrared: Pixels, pixels: Pixels, sensitivity: float = 0.5) -> Found:
    """Find what dust and scratches cover.

    It takes less than a second for 10 megapixels, and beside its arguments 10 bytes a pixel.

    Args:
        infrared: (h, w) or (h, w, 1), uint8 or uint16, dust dark; linear or gamma-encoded.
        pixels: The photo, (h, w) or (h, w, 1 to 4), uint8 or uint16, positive or negative; alpha
            does not count.
        sensitivity: 0 to 1: the share of light that a speck must take to count, from 31 % at 0
            over 9 % at 0.5 to 2 % at 1, where the noise allows it.

    Raises:
        UsageError: `sensitivity` is out of range, an array of another type or shape, or the two
            are not of one size.
    """
    check_pixels(pixels)
    check_pixels(infrared)
    if infrared.ndim == 3 and infrared.shape[2] == 1:
        infrared = infrared[..., 0]
    if infrared.ndim != 2:
        raise UsageError(f"infrared must be of one channel, not {infrared.shape[2]}")
    if infrared.shape != pixels.shape[:2]:
        raise UsageError(
            f"the infrared is {size(infrared.shape)}, the photo {size(pixels.shape)}: "
            "give one of the same size"
        )
    if not 0 <= sensitivity <= 1:
        raise UsageError(f"sensitivity {sensitivity:g}: give a number from 0 to 1")
    infrared = np.ascontiguousarray(infrared)
    pixels = np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1))
    colour = pixels[..., : 1 if pixels.shape[2] < 3 else 3]

    film = _film(infrared)
    whole, infrared, colour = np.zeros(infrared.shape, bool), infrared[film], colour[film]
    infrared = _moved(infrared, _offset(infrared, colour))
    slopes, silver = _fit_bleed(infrared, colour)
    least = DENSITY * SPAN ** (1 - 2 * sensitivity)
    whole[film] = _connected(_levels(infrared, colour, slopes, least))
    return Found(whole, silver)


def _density(plane: Floats) -> Floats:
    """Density of intensities in [0, 1]: 0 to 2.4."""
    return np.asarray(cv2.log(plane + np.float32(LEAST)) * np.float32(-1 / np.log(10)))


def _film(infrared: Pixels) -> tuple[slice, slice]:
    """Rows and columns inside the film holder, which stops infrared all along a border."""
    # Wherever the holder lies, it is less than three quarters of the picture.
    opaque = infrared < OPAQUE * float(np.quantile(infrared[::8, ::8], 0.75))
    slices = []
    for length, share in zip(opaque.shape, (opaque.mean(1), opaque.mean(0)), strict=True):
        (film,) = np.nonzero(share <= 0.5)
        first, last = (int(film[0]), int(film[-1])) if len(film) else (0, length - 1)
        # The holder's edge is soft.
        first += REACH * (first > 0)
        last -= REACH * (last < length - 1)
        slices.append(slice(first, max(first, last) + 1))
    return slices[0], slices[1]


def _offset(infrared: Pixels, colour: Pixels) -> tuple[int, int]:
    """How far down and to the right of the picture its infrared lies, in whole pixels.

    The bleed and the dust are in both: where a regression of one on the other explains most.
    """
    height, width = infrared.shape
    side = min(TILE, height, width)
    if side < 8 * REACH:
        return 0, 0
    span = 2 * REACH + 1
    moments = np.zeros((colour.shape[2], span, span))
    products, power = np.zeros((colour.shape[2],) * 2), 0.0
    for top in np.unique(np.linspace(0, height - side, TILES).astype(int)):
        for left in np.unique(np.linspace(0, width - side, TILES).astype(int)):
            tile = np.s_[top : top + side, left : left + side]
            target = _fine(infrared[tile])
            planes = [_fine(plane)[REACH:-REACH, REACH:-REACH]
                      for plane in np.moveaxis(colour[tile], 2, 0)]  # fmt: skip
            for moment, plane in zip(moments, planes, strict=True):
                moment += cv2.matchTemplate(target, plane, cv2.TM_CCORR)
            flat = np.stack(planes).reshape(len(planes), -1)
            products += flat @ flat.T
            power += float(np.square(target[REACH:-REACH, REACH:-REACH]).sum())
    ridge = (1e-6 + 1e-3 * np.trace(products)) * np.eye(len(products))
    shared = (moments * np.tensordot(np.linalg.inv(products + ridge), moments, 1)).sum(0)
    down, right = (int(k) for k in np.unravel_index(shared.argmax(), shared.shape))
    # A maximum at the rim is none.
    inside = 0 < down < span - 1 and 0 < right < span - 1
    if not inside or shared[down, right] - shared[REACH, REACH] <= SHARED * power:
        return 0, 0
    return down - REACH, right - REACH


def _fine(plane: Pixels) -> Floats:
    """Density of uint8 or uint16 (h, w) without what is wider than a few pixels."""
    density = _density(_smooth(plane))
    return density - cv2.blur(density, (4 * REACH + 1, 4 * REACH + 1))


def _moved(infrared: Pixels, offset: tuple[int, int]) -> Pixels:
    """The infrared moved back by so many pixels; at the border the last ones are repeated."""
    if offset == (0, 0):
        return infrared
    rows, columns = (
        np.clip(np.arange(length) + by, 0, length - 1)
        for length, by in zip(infrared.shape, offset, strict=True)
    )
    moved: Pixels = infrared[rows][:, columns]
    return moved


def _fit_bleed(infrared: Pixels, colour: Pixels) -> tuple[Floats, bool]:
    """How the infrared's density follows the picture, and whether so closely that it is silver.

    Returns (channels, 2): the infrared density for each unit of a channel's density, and of its
    intensity: one of them is straight where the scan is a negative or slide as it is, the other
    where it was made a positive.
    """
    height, width = infrared.shape
    side = max(min(SQUARE, min(height, width) // 32), int(np.sqrt(height * width / SQUARES)))
    side = max(1, min(side, height, width))

    def squares(plane: Pixels) -> Floats:
        # Means of squares hide that the scanner may have moved; the median hides thin dust.
        whole = cv2.medianBlur(plane[: height // side * side, : width // side * side], 5)
        small = cv2.resize(whole, None, fx=1 / side, fy=1 / side, interpolation=cv2.INTER_AREA)
        return np.asarray(small / np.float32(np.iinfo(plane.dtype).max))

    target = _density(squares(infrared))
    lights = [squares(np.ascontiguousarray(plane)) for plane in np.moveaxis(colour, 2, 0)]
    sources = np.stack([tone for light in lights for tone in (_density(light), light)])

    cells = tuple(max(1, round(2 * length / DETAIL)) for length in target.shape)
    down, across = _hat(target.shape[0], cells[0]), _hat(target.shape[1], cells[1]).T
    slopes = np.zeros(len(sources), np.float32)
    for _ in range(ROUNDS):
        # Dust is dark in the picture too and would look like bleed, so it must go before the fit;
        # the more bleed is known, the better dust is told from it.
        rest = target - np.tensordot(slopes, sources, 1)
        rest = rest - down @ _blocks(rest, cells)[1] @ across
        lower, middle = _blocks(rest, cells)
        spread = np.maximum(down @ (middle - lower) @ across, QUIET)
        dust = (rest > NOISE * spread).view(np.uint8)
        clean = cv2.dilate(dust, np.ones((3, 3), np.uint8)) == 0
        known = cv2.blur(clean.astype(np.float32), (DETAIL, DETAIL)) + np.float32(1e-6)

        def details(tone: Floats, clean: Mask = clean, known: Floats = known) -> Floats:
            wide = cv2.blur(tone * clean, (DETAIL, DETAIL)) / known
            return np.asarray((tone - wide)[clean])

        y, x = details(target), np.stack([details(tone) for tone in sources])
        count = max(1, y.size)
        contrast = float(np.square(x[::2].mean(0)).sum()) / count
        if contrast < FLAT**2:
            return np.zeros((len(lights), 2), np.float32), False
        covariance = x @ x.T / count + RIDGE * np.eye(len(x))
        slopes = np.linalg.solve(covariance, x @ y / count).astype(np.float32)

    bleed = slopes @ x
    left = float(np.square(y - bleed).sum()) / max(float(np.square(y).sum()), count * QUIET**2)
    follows = float(np.square(bleed).sum()) / count > SILVER_SLOPE**2 * contrast
    return slopes.reshape(-1, 2), left < 1 - SILVER_SHARE and follows


def _levels(infrared: Pixels, colour: Pixels, slopes: Floats, least: float) -> Canvas:
    """(height, width): 2 where infrared is denser than noise and `least`, 1 where it may be."""
    height, width = infrared.shape
    block = max(LEAST_BLOCK, round(min(height, width) * BLOCK))
    cells = max(1, round(height / block)), max(1, round(width / block))
    step = max(1, block // SAMPLES)

    excess = np.empty((height, width), np.float32)
    sampled = []
    halo = SHIFT + 3  # 3 for the Gaussian.
    around = np.ones((2 * SHIFT + 1, 2 * SHIFT + 1), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(max(0, top - halo), top + STRIP + halo)
        inner = slice(top - rows.start, top - rows.start + STRIP)
        density = _density(_smooth(infrared[rows]))
        bleed = np.zeros_like(density)
        if slopes.any():
            for channel, (of_density, of_light) in enumerate(slopes):
                light = _smooth(colour[rows, :, channel])
                bleed += of_density * _density(light) + of_light * light
        sampled.append((density - bleed)[inner][-top % step :: step, ::step])
        # Wherever the colours really belong, no bleed is denser than the densest nearby.
        excess[top : top + STRIP] = (density - cv2.dilate(bleed, around))[inner]

    down, across = _hat(height, cells[0]), _hat(width, cells[1]).T
    background = _blocks(np.concatenate(sampled), cells)[1]
    even = excess[::step, ::step] - down[::step] @ background @ across[:, ::step]
    lower, middle = _blocks(even, cells)
    limit = np.maximum(NOISE * np.maximum(middle - lower, QUIET), least)

    levels = np.empty((height, width), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        over = excess[rows] - down[rows] @ background @ across
        over /= np.maximum(down[rows] @ limit @ across, least)
        np.add(over >= 1, over >= FAINTER, out=levels[rows], dtype=np.uint8)
    return levels


def _smooth(plane: Pixels) -> Floats:
    """Intensities in [0, 1] of uint8 or uint16 (h, w) without the finest noise."""
    light = plane.astype(np.float32)
    light *= 1 / np.iinfo(plane.dtype).max
    return np.asarray(cv2.GaussianBlur(light, (0, 0), BLUR), np.float32)


def _blocks(values: Floats, cells: tuple[int, int]) -> Floats:
    """(2, rows, columns) of blocks: the 16 % quantile, one sigma below, and the median of each.

    Each is then the median of itself and its neighbours, for a large speck may fill a block.
    """
    edges = [np.linspace(0, n, m + 1).astype(int) for n, m in zip(values.shape, cells, strict=True)]
    grid = np.empty((2, *cells), np.float32)
    for row, (top, bottom) in enumerate(pairwise(edges[0])):
        for column, (left, right) in enumerate(pairwise(edges[1])):
            grid[:, row, column] = np.quantile(values[top:bottom, left:right], (0.16, 0.5))
    for plane in grid:
        # Slopes go on beyond the border, or the corners of a shaded picture would lose theirs.
        wider = np.pad(plane, 1, mode="reflect", reflect_type="odd")
        plane[:] = cv2.medianBlur(wider, 3)[1:-1, 1:-1]
    return grid


def _hat(length: int, cells: int) -> Floats:
    """(length, cells): weights that draw straight lines between, and beyond, the cells' middles."""
    if cells == 1:
        return np.ones((length, 1), np.float32)
    place = (np.arange(length) + 0.5) * (cells / length) - 0.5
    left = np.clip(place.astype(int), 0, cells - 2)
    weights = np.zeros((length, cells), np.float32)
    weights[np.arange(length), left] = left + 1 - place
    weights[np.arange(length), left + 1] = place - left
    return weights


def _connected(levels: Canvas) -> Mask:
    """Where level is 1 or 2, of the pieces that have a pixel of 2."""
    count, labels = cv2.connectedComponents((levels > 0).view(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[labels[levels == 2]] = True
    mask: Mask = kept[labels]
    return mask
