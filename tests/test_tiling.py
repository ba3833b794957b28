"""Tiles cover every damaged pixel, only where there is damage, and blend without a trace."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import tiling

sides = st.integers(1, 150)


@st.composite
def grids(draw: st.DrawFn) -> tuple[int, int]:
    tile = draw(st.integers(1, 48))
    return tile, draw(st.integers(0, tile - 1))


@given(length=sides, grid=grids())
def test_starts_cover_the_length_without_leaving_it(length: int, grid: tuple[int, int]) -> None:
    tile, overlap = grid
    offsets = tiling.starts(length, tile, overlap)
    assert offsets[0] == 0
    assert offsets == sorted(set(offsets))
    if length <= tile:
        assert offsets == [0]
    else:
        assert offsets[-1] + tile == length
        assert all(b - a <= tile - overlap for a, b in pairwise(offsets))


@given(height=sides, width=sides, grid=grids(), seed=st.integers(0, 999))
@settings(max_examples=60)
def test_plan_has_exactly_the_tiles_that_touch_damage(
    height: int, width: int, grid: tuple[int, int], seed: int
) -> None:
    tile, overlap = grid
    mask = np.random.default_rng(seed).random((height, width)) < 0.01
    planned = {(row.top, left) for row in tiling.plan(mask, tile, overlap) for left in row.lefts}
    touching = {
        (top, left)
        for top in tiling.starts(height, tile, overlap)
        for left in tiling.starts(width, tile, overlap)
        if mask[top : top + tile, left : left + tile].any()
    }
    assert planned == touching


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    grid=grids(),
    depth=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_what_is_gathered_and_blended_is_the_photo_again(
    height: int, width: int, grid: tuple[int, int], depth: type[np.uint8], seed: int
) -> None:
    """An inpainter that knew every pixel would give the photo back, at any size and overlap."""
    tile, overlap = grid
    rng = np.random.default_rng(seed)
    top_value = np.iinfo(depth).max
    photo = rng.integers(0, top_value, (height, width, 3), endpoint=True).astype(depth)
    damage = rng.random((height, width)) < 0.05
    canvas, holes = tiling.padded(photo, damage, tile, tile)
    nothing = np.zeros_like(holes)
    result = np.zeros(canvas.shape, np.float32)
    blend = tiling.Blend(canvas.shape[1], tile, overlap)
    for row in tiling.plan(holes, tile, overlap):
        images, masks = tiling.gather(canvas, nothing, row.top, row.lefts, tile)
        assert not masks.any()
        blend.start(row)
        blend.add(row.lefts, images)
        top, strip = blend.finish(row)
        result[top : top + len(strip)] = strip
    rounded = np.rint(result[:height, :width] * top_value).astype(depth)
    # float32 holds 16 bits to within a step after the weighted mean.
    difference = np.abs(rounded[damage].astype(int) - photo[damage].astype(int))
    assert difference.max(initial=0) <= (0 if depth is np.uint8 else 1)


def test_gather_hides_damaged_pixels() -> None:
    photo = np.full((8, 8, 3), 255, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2, 3] = True
    images, masks = tiling.gather(photo, mask, 0, (0, 4), 4)
    assert images.shape == (2, 3, 4, 4)
    assert images[0, :, 2, 3].tolist() == [0, 0, 0]
    assert images.sum() == 2 * 3 * 16 - 3
    assert masks.sum() == masks[0, 0, 2, 3] == 1


@given(grid=grids())
def test_weights_are_positive_and_add_up_across_the_overlap(grid: tuple[int, int]) -> None:
    tile, overlap = grid
    weights = tiling.window(tile, overlap)
    assert weights.shape == (tile, tile)
    assert (weights > 0).all()
    if 0 < overlap <= tile // 2:
        profile = np.sqrt(np.diag(weights))
        np.testing.assert_allclose(profile[:overlap] + profile[tile - overlap :], 1, rtol=1e-5)


@pytest.mark.parametrize(("tile", "overlap"), [(16, 16), (16, 17), (16, -1)])
def test_an_overlap_that_does_not_fit_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tiling.starts(100, tile, overlap)
