"""Tiles cover every damaged pixel, only where there is damage, and blend without a trace."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import tiling
from inpaintcli.tiling import Grid

sides = st.integers(1, 150)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    height, width = draw(st.integers(1, 48)), draw(st.integers(1, 48))
    most = min(height, width) - 1
    return Grid(height, width, draw(st.integers(0, most)), draw(st.integers(0, most)))


@given(length=sides, grid=grids())
def test_starts_cover_the_length_and_the_margins_without_leaving_them(
    length: int, grid: Grid
) -> None:
    tile, overlap, margin = grid.width, grid.overlap, grid.margin
    offsets = tiling.starts(length, tile, overlap, margin)
    assert offsets[0] == -margin
    assert offsets == sorted(set(offsets))
    if length + 2 * margin <= tile:
        assert len(offsets) == 1
    else:
        assert offsets[-1] + tile == length + margin
        assert all(b - a <= tile - overlap for a, b in pairwise(offsets))


@given(height=sides, width=sides, grid=grids(), seed=st.integers(0, 999))
@settings(max_examples=60)
def test_plan_has_exactly_the_tiles_that_touch_damage(
    height: int, width: int, grid: Grid, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.01
    planned = {(row.top, left) for row in tiling.plan(mask, grid) for left in row.lefts}
    touching = {
        (top, left)
        for top in tiling.starts(height, grid.height, grid.overlap, grid.margin)
        for left in tiling.starts(width, grid.width, grid.overlap, grid.margin)
        if mask[
            max(0, top) : max(0, top + grid.height), max(0, left) : max(0, left + grid.width)
        ].any()
    }
    assert planned == touching


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    grid=grids(),
    depth=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 999),
)
@settings(max_examples=80, deadline=None)
def test_what_is_gathered_and_blended_is_the_photo_again(
    height: int, width: int, grid: Grid, depth: type[np.uint8], seed: int
) -> None:
    """An inpainter that knew every pixel would give the photo back, at any size and overlap."""
    rng = np.random.default_rng(seed)
    top_value = np.iinfo(depth).max
    photo = rng.integers(0, top_value, (height, width, 3), endpoint=True).astype(depth)
    damage = rng.random((height, width)) < 0.05
    nothing = np.zeros_like(damage)
    result = np.zeros(photo.shape, np.float32)
    blend = tiling.Blend((height, width), grid)
    for row in tiling.plan(damage, grid):
        images, masks = tiling.gather(photo, nothing, row.top, row.lefts, grid)
        assert not masks.any()
        blend.start(row)
        blend.add(row.lefts, images)
        top, strip = blend.finish(row)
        assert top >= 0
        assert top + len(strip) <= height
        result[top : top + len(strip)] = strip
    rounded = np.rint(result * top_value).astype(depth)
    # float32 holds 16 bits to within a step after the weighted mean.
    difference = np.abs(rounded[damage].astype(int) - photo[damage].astype(int))
    assert difference.max(initial=0) <= (0 if depth is np.uint8 else 1)


@given(height=st.integers(1, 40), width=st.integers(1, 40), top=st.integers(-30, 30))
def test_beyond_the_photo_lies_its_mirror_image(height: int, width: int, top: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    mask = photo[..., 0] < 40
    images, masks = tiling.gather(photo, mask, top, (top,), Grid(32, 32))
    # NumPy's own mirror, far enough on all sides.
    far = ((64, 64), (64, 64))
    mirrored = np.pad(photo, (*far, (0, 0)), mode="symmetric")
    window = np.s_[64 + top : 96 + top, 64 + top : 96 + top]
    expected_mask = np.pad(mask, far, mode="symmetric")[window]
    assert (masks[0, 0] == expected_mask).all()
    expected = mirrored[window].transpose(2, 0, 1) * ~expected_mask / 255
    np.testing.assert_allclose(images[0], expected, atol=1e-6)


@given(
    length=st.integers(1, 40), tile=st.integers(1, 50),
    begins=st.lists(st.integers(-60, 60), min_size=1, max_size=4),
)  # fmt: skip
def test_an_axis_is_mirrored_at_both_its_ends(length: int, tile: int, begins: list[int]) -> None:
    far = np.pad(np.arange(length), 200, mode="symmetric")
    expected = [far[200 + begin : 200 + begin + tile] for begin in begins]
    np.testing.assert_array_equal(tiling.mirrored(np.array(begins), tile, length), expected)


@given(
    height=st.integers(1, 60), width=st.integers(1, 60), grid=grids(),
    channels=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40)
def test_what_is_cut_everywhere_and_blended_is_whole_again_in_any_number_of_channels(
    height: int, width: int, grid: Grid, channels: int, seed: int
) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    result = np.full(photo.shape, np.nan, np.float32)
    blend = tiling.Blend((height, width), grid, channels)
    for row in tiling.plan(np.broadcast_to(True, (height, width)), grid):
        blend.start(row)
        blend.add(row.lefts, tiling.cut(photo, row.top, row.lefts, grid))
        top, strip = blend.finish(row)
        result[top : top + len(strip)] = strip
    np.testing.assert_array_equal(np.rint(result * 255), photo)


def test_gather_hides_damaged_pixels() -> None:
    photo = np.full((8, 8, 3), 255, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2, 3] = True
    images, masks = tiling.gather(photo, mask, 0, (0, 4), Grid(4, 4))
    assert images.shape == (2, 3, 4, 4)
    assert images[0, :, 2, 3].tolist() == [0, 0, 0]
    assert images.sum() == 2 * 3 * 16 - 3
    assert masks.sum() == masks[0, 0, 2, 3] == 1


@given(length=sides, grid=grids())
def test_weights_are_positive_and_add_up_to_one_everywhere(length: int, grid: Grid) -> None:
    shares = tiling.shares(length, grid.width, grid.overlap, grid.margin)
    total = np.zeros(max(grid.width, length + 2 * grid.margin))
    for offset, weights in shares.items():
        assert (weights > 0).all()
        total[offset + grid.margin :][: grid.width] += weights
    assert list(shares) == tiling.starts(length, grid.width, grid.overlap, grid.margin)
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@given(length=sides, grid=grids())
@settings(max_examples=50, deadline=None)
def test_an_axis_names_all_tiles_over_a_pixel(length: int, grid: Grid) -> None:
    tile, overlap, margin = grid.width, grid.overlap, grid.margin
    axis = tiling.axis(length, tile, overlap, margin)
    weights = tiling.shares(length, tile, overlap, margin)
    most = 0
    for pixel in range(length):
        over = {
            number: (pixel - start, weights[start][pixel - start])
            for number, start in enumerate(tiling.starts(length, tile, overlap, margin))
            if start <= pixel < start + tile
        }
        most = max(most, len(over))
        named = list(zip(axis.tiles[pixel], axis.places[pixel], axis.shares[pixel], strict=True))
        counted = named[: len(over)]
        assert {number: (place, share) for number, place, share in counted} == over
        # What fills up the row can be read, and counts for nothing.
        assert all((number, place, share) == (*named[0][:2], 0)
                   for number, place, share in named[len(over) :])  # fmt: skip
    assert axis.tiles.shape == axis.places.shape == axis.shares.shape == (length, most)
    assert axis.shares.dtype == np.float32
    np.testing.assert_allclose(axis.shares.sum(1), 1, rtol=1e-5)


def test_weights_fall_smoothly_across_the_overlap() -> None:
    first = tiling.shares(26, 16, 6)[0]
    assert (np.diff(first)[9:] < 0).all()
    assert (first[:10] == 1).all()
    np.testing.assert_allclose(first[10:] + first[10:][::-1], 1, rtol=1e-5)


@given(
    height=st.integers(1, 3000), width=st.integers(1, 3000), margin=st.integers(0, 32),
    multiple=st.sampled_from([1, 8]), least=st.integers(1, 64),
)  # fmt: skip
def test_fitted_tiles_are_as_few_as_the_largest_but_no_larger_than_needed(
    height: int, width: int, margin: int, multiple: int, least: int
) -> None:
    tile, overlap = 256, 32
    grid = tiling.fitted((height, width), tile, overlap, margin, multiple, least)
    for length, side in ((height, grid.height), (width, grid.width)):
        assert side <= tile
        assert side % multiple == 0 or side == least
        number = len(tiling.starts(length, side, grid.overlap, margin))
        assert number <= len(tiling.starts(length, tile, overlap, margin))
        smaller = side - multiple
        if smaller >= least and smaller > overlap == grid.overlap:
            # One step less would take more tiles, or leave the photo's end uncovered.
            assert number * (smaller - overlap) + overlap < length + 2 * margin


@pytest.mark.parametrize(("overlap", "margin"), [(16, 0), (17, 0), (-1, 0), (0, 16), (0, -1)])
def test_an_overlap_or_margin_that_does_not_fit_is_refused(overlap: int, margin: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        tiling.starts(100, 16, overlap, margin)
