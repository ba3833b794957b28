"""Texture for wide fills: what a network leaves smooth gets the detail of what surrounds it.

A network that is trained to be right on average answers with the average of all that could be
there: the middle of a wide hole is a smear. Its colours and shapes are still the best guess, and
the photo around shows which texture goes with such colours. So, octave by octave from coarse to
fine, each small patch of the smear looks for the patch of the surroundings that is most like it
when both are blurred, and takes over as much of that patch's detail as the smear lacks.

The search is exhaustive over a neighbourhood, with the blurred fill as the guide, as in Hertzmann
et al. 2001 ("Image Analogies"). Where it costs little, a patch goes on where the source of the
patch beside it ends, so that whole pieces of texture are taken over (Ashikhmin 2001, "Synthesizing
Natural Textures"). Patches overlap and are averaged; what averaging takes from their strength is
given back.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli import tiling
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.pyramid import deeper_than

#: Side of a patch of detail, and the distance from one to the next, in pixels of an octave.
PATCH, STRIDE = 16, 8
#: Depth in pixels, from the nearest known pixel, at which detail begins to come in and at which it
#: is in full; damage that is nowhere as deep as that is not wide. Nearer to the edge the network
#: knows better: on held-out photographs these two raise the texture ratio of holes of 24 to 72 px
#: from 0.21 to 0.51 for 0.25 dB, and cost strokes of 8 to 24 px 0.03 dB.
BEGIN, FULL = 5.0, 13.0
#: The same in pixels of coarser octaves, whose detail the network knows less far.
COARSE_BEGIN, COARSE_FULL = 3.0, 8.0
#: How far the guide is blurred (sigma), and how far apart it is sampled, 3x3 places a patch.
BLUR, SPREAD = 3.0, 6
#: How much more than the best source the one that goes on may cost, in squared intensities.
COHERENCE = 0.005
#: Of how many sources that fit best the detail is compared, and how many times the energy of their
#: median makes a source an outlier.
BEST, OUTLYING = 32, 3.0
#: How many patches a piece of texture may be wide and high.
SWEEPS = 4
#: How much a source may cost for lying one whole window away, in squared intensities.
FARNESS = 0.02
#: Side and overlap in pixels of what is worked on at a time.
TILE, OVERLAP = 640, 192
#: Least share of a window that must be known, and how far it may grow beyond its tile for that.
KNOWN, FARTHEST = 0.15, 1024
#: Most source patches in one search, and targets that are compared with them at a time.
SOURCES, TARGETS = 4000, 1000


def add_texture(
    pixels: Pixels, mask: Mask, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> None:
    """Add detail to the wide regions of a fill, in place; all other pixels are only read.

    pixels: (h, w, 3), uint8 or uint16, restored. mask: bool (h, w), True = filled. seed: fixes
    which patches are searched where there are too many. progress: told how many of how many tiles
    are done. What is farther than some 1000 px from every known pixel stays smooth.
    """
    wide = _wide(mask)
    if not wide.any():
        return
    top_value = np.float32(np.iinfo(pixels.dtype).max)
    shape = (mask.shape[0], mask.shape[1])
    grid = tiling.fitted(shape, TILE, OVERLAP, 0)
    blend = tiling.Blend(shape, grid)
    plan = tiling.plan(wide, grid)
    done, total = 0, tiling.count(plan)
    for row in plan:
        blend.start(row)
        for left in row.lefts:
            rows, columns = _window(mask, row.top, left, grid)
            window = np.s_[rows, columns]
            rng = np.random.default_rng([seed, row.top, left])
            colours = pixels[window].astype(np.float32) / top_value
            inside = np.zeros_like(mask[window])
            tile = np.s_[row.top - rows.start :, left - columns.start :]
            inside[tile][: grid.height, : grid.width] = True
            enriched = _enriched(colours, mask[window], inside & wide[window], rng)
            cut = enriched[tile][: grid.height, : grid.width]
            blend.add((left,), cut.transpose(2, 0, 1)[None])
            done += 1
            if progress:
                progress(done, total)
        top, strip = blend.finish(row)
        finished = np.s_[top : top + len(strip)]
        chosen = wide[finished]
        pixels[finished][chosen] = np.rint(np.clip(strip[chosen], 0, 1) * top_value)


def _wide(mask: Mask) -> Mask:
    """The damage around places that are FULL px deep, up to the depth at which detail begins."""
    core = deeper_than(mask, round(FULL)).view(np.uint8)
    reach = round(FULL - BEGIN)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(core, disc) > 0) & mask


def _window(mask: Mask, top: int, left: int, grid: tiling.Grid) -> tuple[slice, slice]:
    """Rows and columns of a tile and, where it is nearly all damage, of what surrounds it."""
    margin = 0
    while True:
        rows = slice(max(0, top - margin), min(mask.shape[0], top + grid.height + margin))
        columns = slice(max(0, left - margin), min(mask.shape[1], left + grid.width + margin))
        if margin >= FARTHEST or mask[rows, columns].mean() <= 1 - KNOWN:
            return rows, columns
        margin += 128


def _depth(mask: Mask) -> Floats:
    """Distance in pixels of every pixel of the mask to the nearest known one."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 3), np.float32)


def _enriched(
    colours: Floats,
    holes: Mask,
    inside: Mask,
    rng: np.random.Generator,
    begin: float = BEGIN,
    full: float = FULL,
) -> Floats:
    """(h, w, 3) with the detail of this octave and of all coarser ones added to `inside`.

    holes: everything that is no source. begin, full: depths between which detail comes in.
    """
    depth = _depth(holes)
    height, width = holes.shape
    if min(height, width) < 3 * PATCH or not (depth[inside] >= full).any():
        return colours
    half = (width // 2, height // 2)
    small = np.asarray(cv2.resize(colours, half, interpolation=cv2.INTER_AREA), np.float32)
    small_holes = cv2.resize(holes.view(np.uint8) * 255, half, interpolation=cv2.INTER_AREA) > 0
    small_inside = cv2.resize(inside.view(np.uint8), half, interpolation=cv2.INTER_NEAREST) > 0
    richer = _enriched(
        small, small_holes, small_inside & small_holes, rng, COARSE_BEGIN, COARSE_FULL
    )
    if richer is not small:
        colours = colours + cv2.resize(richer - small, (width, height))
    smooth = cv2.resize(
        cv2.resize(colours, half, interpolation=cv2.INTER_AREA), (width, height),
        interpolation=cv2.INTER_LINEAR,
    )  # fmt: skip
    detail = colours - smooth
    added = _transferred(colours, detail, depth, inside, rng)
    if added is None:
        return colours
    # What the fill has of its own counts: only the rest is added.
    have = cv2.blur((detail**2).sum(2), (PATCH, PATCH))
    wanted = cv2.blur((added**2).sum(2), (PATCH, PATCH))
    lacking = np.sqrt(np.clip(1 - have / np.maximum(wanted, 1e-8), 0, 1))
    ramp = np.clip((depth - begin) / (full - begin), 0, 1) * inside
    return np.asarray(colours + added * (lacking * ramp)[..., None], np.float32)


def _transferred(
    colours: Floats, detail: Floats, depth: Floats, inside: Mask, rng: np.random.Generator
) -> Floats | None:
    """The detail (h, w, 3) of the best sources, laid over `inside`; None without sources."""
    height, width = depth.shape
    # Near a hole the surroundings' own detail is mixed with the fill's: stay clear of it.
    clear = cv2.dilate((depth > 0).view(np.uint8), np.ones((5, 5), np.uint8))
    occupied = cv2.boxFilter(clear, cv2.CV_32F, (PATCH, PATCH), anchor=(0, 0), normalize=False,
                             borderType=cv2.BORDER_CONSTANT)  # fmt: skip
    fits = np.s_[: height - PATCH + 1, : width - PATCH + 1]
    sources = np.argwhere(occupied[fits] == 0)
    touched = cv2.boxFilter(inside.astype(np.uint8), cv2.CV_32F, (PATCH, PATCH), anchor=(0, 0),
                            normalize=False, borderType=cv2.BORDER_CONSTANT)  # fmt: skip
    targets = np.argwhere(touched[fits][::STRIDE, ::STRIDE] > 0) * STRIDE
    if len(sources) < 16 or not len(targets):
        return None
    if len(sources) > SOURCES:
        sources = sources[rng.choice(len(sources), SOURCES, replace=False)]
    guide = np.asarray(cv2.GaussianBlur(colours, (0, 0), BLUR), np.float32)
    known, asked = _described(guide, sources), _described(guide, targets)
    power = cv2.boxFilter((detail**2).sum(2), cv2.CV_32F, (PATCH, PATCH), anchor=(0, 0),
                          borderType=cv2.BORDER_REFLECT)  # fmt: skip
    found, most = _matched(asked, known, power[sources[:, 0], sources[:, 1]])
    free = occupied[fits] == 0
    best = _coherent(targets, asked, sources[found], known[found], guide, power, most, free)

    profile = np.sin(np.pi * (np.arange(PATCH) + 0.5) / PATCH).astype(np.float32) ** 2
    weight = np.outer(profile, profile)[..., None]
    total, squares = np.zeros_like(colours), np.zeros_like(depth)
    weights = np.full((height, width), 1e-6, np.float32)
    for (y, x), (from_y, from_x) in zip(targets.tolist(), best.tolist(), strict=True):
        at = np.s_[y : y + PATCH, x : x + PATCH]
        patch = detail[from_y : from_y + PATCH, from_x : from_x + PATCH]
        total[at] += patch * weight
        squares[at] += (patch**2 * weight).sum(2)
        weights[at] += weight[..., 0]
    mean = total / weights[..., None]
    # Patches that go on from each other agree, and lose nothing; others average out.
    left = cv2.blur((mean**2).sum(2), (PATCH, PATCH))
    # A running sum may end a little below 0 where all that it holds is 0.
    before = np.maximum(cv2.blur(squares / weights, (PATCH, PATCH)), 0)
    gain = np.sqrt(before / np.maximum(left, 1e-7))
    return np.asarray(mean * np.minimum(gain, 3)[..., None], np.float32)


def _matched(asked: Floats, known: Floats, power: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The best source of each target, and how much detail it may have at most: (n,), (n,).

    Of the sources that fit best most have the texture that goes with such colours. One with far
    more detail than those is something else of the same colours, such as a mast before the sky.
    """
    lengths = (known**2).sum(1)
    number = min(BEST, len(known))
    found, most = [], []
    for start in range(0, len(asked), TARGETS):
        costs = lengths - 2 * asked[start : start + TARGETS] @ known.T
        near = np.argpartition(costs, number - 1, 1)[:, :number]
        limit = OUTLYING * np.median(power[near], 1)
        costs = np.take_along_axis(costs, near, 1)
        costs[power[near] > limit[:, None]] = np.inf
        found.append(np.take_along_axis(near, costs.argmin(1)[:, None], 1)[:, 0])
        most.append(limit)
    return np.concatenate(found), np.concatenate(most)


def _coherent(
    targets: NDArray[np.intp],
    asked: Floats,
    sources: NDArray[np.intp],
    known: Floats,
    guide: Floats,
    power: Floats,
    limit: Floats,
    free: Mask,
) -> NDArray[np.intp]:
    """The sources (n, 2) of the targets, changed to go on from the one to the left or above where
    that costs at most COHERENCE more than the best, and has no more detail than `limit`."""
    grid = np.full((targets[:, 0].max() + STRIDE + 1, targets[:, 1].max() + STRIDE + 1), -1)
    grid[targets[:, 0], targets[:, 1]] = np.arange(len(targets))
    most = ((asked - known) ** 2).sum(1) + COHERENCE
    chosen = sources.copy()
    # Each sweep lets pieces grow by one patch, to the right and downwards in turn.
    for step in np.array([(0, STRIDE), (STRIDE, 0)] * SWEEPS):
        from_y, from_x = (targets - step).T
        before = np.where((from_y >= 0) & (from_x >= 0), grid[from_y, from_x], -1)
        places = chosen[before] + step
        fits = (before >= 0) & (places < free.shape).all(1)
        fits[fits] = free[places[fits, 0], places[fits, 1]]
        cost = ((_described(guide, places[fits]) - asked[fits]) ** 2).sum(1)
        fits[fits] = (cost <= most[fits]) & (power[places[fits, 0], places[fits, 1]] <= limit[fits])
        chosen[fits] = places[fits]
    return chosen


def _described(guide: Floats, places: NDArray[np.intp]) -> Floats:
    """The blurred colours at and around the middle of patches, and where they lie: (n, 29)."""
    height, width = guide.shape[:2]
    middle = places + PATCH // 2
    samples = [
        guide[np.clip(middle[:, 0] + dy, 0, height - 1), np.clip(middle[:, 1] + dx, 0, width - 1)]
        for dy in (-SPREAD, 0, SPREAD)
        for dx in (-SPREAD, 0, SPREAD)
    ]
    where = middle.astype(np.float32) / max(height, width) * FARNESS**0.5
    return np.hstack([*(sample / 3 for sample in samples), where]).astype(np.float32)
