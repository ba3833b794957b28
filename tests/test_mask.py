"""White is damaged, strokes are damaged, and no thin line gets lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import measure
from skimage.morphology import dilation

from inpaintcli import mask, photo
from inpaintcli.arrays import Mask
from inpaintcli.errors import PhotoError
from inpaintcli.mask import MaskTools
from inpaintcli.photo import Photo

SIDES = st.integers(1, 24)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    share = draw(st.sampled_from([0, 0.02, 0.3, 1]))
    return rng.random((draw(SIDES), draw(SIDES))) < share


def stored(tmp_path: Path, pixels: NDArray[Any]) -> Path:
    path = tmp_path / "mask.png"
    photo.write(Photo(pixels), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("opaque", [False, True])
def test_light_is_damaged(dtype: Any, channels: int, opaque: bool, tmp_path: Path) -> None:
    full = int(np.iinfo(dtype).max)
    levels = np.array([[0, full // 2, full // 2 + 1, full]], dtype)
    pixels = np.repeat(levels[..., None], channels, 2)
    if opaque:
        pixels = np.concatenate([pixels, np.full((1, 4, 1), full, dtype)], 2)
    path = stored(tmp_path, pixels)
    assert mask.read(path).tolist() == [[False, False, True, True]]
    assert mask.read(path, invert=True).tolist() == [[True, True, False, False]]


def test_colours_count_by_their_luminance(tmp_path: Path) -> None:
    # Red, green, blue, yellow, white.
    rgb = np.array([[(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)]], np.uint8) * 255
    read = mask.read(stored(tmp_path, rgb))
    assert read.tolist() == [[False, True, False, True, True]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ink", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_strokes_on_nothing_are_damaged(
    dtype: Any, ink: int, channels: int, tmp_path: Path
) -> None:
    full = int(np.iinfo(dtype).max)
    alpha = np.array([[0, full // 2, full // 2 + 1, full]], dtype)
    colour = np.full((1, 4, channels), ink * full, dtype)
    path = stored(tmp_path, np.concatenate([colour, alpha[..., None]], 2))
    assert mask.read(path).tolist() == [[False, False, True, True]]
    assert mask.read(path, invert=True).tolist() == [[True, True, False, False]]


def test_a_layer_without_strokes_damages_nothing(tmp_path: Path) -> None:
    white = np.full((3, 3, 4), 255, np.uint8)
    white[..., 3] = 0
    assert not mask.read(stored(tmp_path, white)).any()


@settings(max_examples=20, deadline=None)
@given(before=masks())
def test_write_and_read(before: Mask, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("masks") / "m.png"
    mask.write(before, path)
    stored = photo.read(path)
    assert stored.pixels.dtype == np.uint8
    assert stored.pixels.shape == (*before.shape, 1)
    np.testing.assert_array_equal(stored.pixels[..., 0], before * 255)
    np.testing.assert_array_equal(mask.read(path), before)


def test_a_broken_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"not a mask")
    with pytest.raises(PhotoError, match=r"mask\.png: "):
        mask.read(path)


def test_a_mask_of_another_size_is_scaled_on_request_only(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    before = np.eye(6, 4, dtype=bool)
    mask.write(before, path)
    np.testing.assert_array_equal(mask.read_for(path, (6, 4)), before)
    with pytest.raises(PhotoError, match=r"mask\.png: .*4x6.*2x3"):
        mask.read_for(path, (3, 2))
    scaled = mask.read_for(path, (3, 2), scale=True)
    np.testing.assert_array_equal(scaled, mask.fit(before, (3, 2)))
    inverted = mask.read_for(path, (3, 2), scale=True, invert=True)
    np.testing.assert_array_equal(inverted, mask.fit(~before, (3, 2)))


@settings(max_examples=200, deadline=None)
@given(before=masks(), height=SIDES, width=SIDES)
def test_fit_covers_what_was_damaged(before: Mask, height: int, width: int) -> None:
    after = mask.fit(before, (height, width))
    assert after.shape == (height, width)
    assert after.dtype == np.bool_
    assert after.any() == before.any() or height > before.shape[0] or width > before.shape[1]
    np.testing.assert_array_equal(after, fitted_slowly(before, height, width))


def fitted_slowly(before: Mask, height: int, width: int) -> Mask:
    rows, columns = before.shape
    after = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            after[y, x] = before[np.ix_(sources(y, rows, height), sources(x, columns, width))].any()
    return after


def sources(place: int, old: int, new: int) -> list[int]:
    """The old places that the new one overlaps, or the nearest where there are more new ones."""
    if new > old:
        return [(2 * place + 1) * old // (2 * new)]
    return [k for k in range(old) if k * new < (place + 1) * old and (k + 1) * new > place * old]


def test_one_pixel_of_a_mask_ten_times_as_large_survives() -> None:
    for place in ((0, 0), (1234, 777), (1999, 1499)):
        before = np.zeros((2000, 1500), bool)
        before[place] = True
        after = mask.fit(before, (200, 150))
        assert after.sum() == 1
        assert after[place[0] // 10, place[1] // 10]


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_a_thin_line_stays_one_line(angle: int) -> None:
    import cv2

    canvas = np.zeros((700, 900), np.uint8)
    along = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]) * 340
    start, end = ((450, 350) + sign * along for sign in (-1, 1))
    cv2.line(canvas, [int(v) for v in start], [int(v) for v in end], 255, 1)
    for shape in ((101, 133), (70, 90), (699, 899), (350, 1800)):
        after = mask.fit(canvas > 0, shape)
        pieces, _ = cv2.connectedComponents(after.view(np.uint8), connectivity=8)
        assert pieces == 2  # The background and the line.


def test_enlarging_is_exact() -> None:
    before = np.random.default_rng(0).random((7, 5)) < 0.5
    np.testing.assert_array_equal(mask.fit(before, (21, 15)), np.kron(before, np.ones((3, 3))) > 0)
    assert mask.fit(before, before.shape) is before


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (-1, 4)])
def test_nothing_fits_an_empty_photo(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="fit"):
        mask.fit(np.ones((3, 3), bool), shape)


@settings(max_examples=60, deadline=None)
@given(before=masks(), radius=st.integers(0, 30))
def test_grow_is_dilation_by_a_disc(before: Mask, radius: int) -> None:
    kept = before.copy()
    after = mask.grow(before, radius)
    assert after.dtype == np.bool_
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    expected = dilation(np.pad(before, radius), y**2 + x**2 <= radius**2)
    inner = np.s_[radius : radius + before.shape[0], radius : radius + before.shape[1]]
    np.testing.assert_array_equal(after, expected[inner])
    np.testing.assert_array_equal(before, kept)


def test_grow_takes_views() -> None:
    before = np.zeros((9, 9), bool)
    before[4, 4] = True
    assert mask.grow(before[::2, ::2], 1).sum() == 5


def test_a_mask_does_not_shrink() -> None:
    with pytest.raises(ValueError, match="-1"):
        mask.grow(np.ones((3, 3), bool), -1)


@settings(max_examples=60, deadline=None)
@given(before=masks(), gap=st.integers(0, 9))
def test_closing_fills_what_no_line_can_reach_past_the_damage(before: Mask, gap: int) -> None:
    kept = before.copy()
    after = mask.close_gaps(before, gap)
    assert after.dtype == np.bool_
    np.testing.assert_array_equal(after, closed_slowly(before, gap))
    assert (after >= before).all()
    np.testing.assert_array_equal(before, kept)


def closed_slowly(before: Mask, gap: int) -> Mask:
    """Open in a direction is what some place of the line there covers without touching damage."""
    height, width = before.shape
    far = np.pad(before, 10)
    after = before.copy()
    for line in mask._lines(gap) if gap else []:
        tall, wide = line.shape
        free = np.zeros_like(far)
        for top in range(len(far) - tall + 1):
            for left in range(far.shape[1] - wide + 1):
                place = np.s_[top : top + tall, left : left + wide]
                if not (far[place] & (line > 0)).any():
                    free[place] |= line > 0
        after |= ~free[10 : 10 + height, 10 : 10 + width]
    return after


@pytest.mark.parametrize("angle", range(0, 180, 9))
@pytest.mark.parametrize("gap", [3, 9])
def test_an_interrupted_scratch_becomes_one_at_any_angle(angle: int, gap: int) -> None:
    y, x = np.mgrid[-60:61, -60:61]
    turn = np.deg2rad(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    broken = (np.abs(across) <= 1.5) & (np.abs(along) > (gap - 1) / 2) & (np.abs(along) < 40)
    assert mask.count_regions(broken) == 2
    closed = mask.close_gaps(broken, gap)
    assert mask.count_regions(closed) == 1
    # The gap is filled and little else.
    assert closed.sum() < broken.sum() + 6 * gap
    wider = broken & (np.abs(along) > gap)
    assert mask.count_regions(mask.close_gaps(wider, gap)) == 2


def test_closing_fills_no_gap_to_the_edge() -> None:
    before = np.zeros((20, 20), bool)
    before[2:, 2] = True
    np.testing.assert_array_equal(mask.close_gaps(before, 5), before)


@settings(max_examples=60, deadline=None)
@given(before=masks(), area=st.integers(0, 40))
def test_small_regions_are_dropped_and_counted_with_their_corners(before: Mask, area: int) -> None:
    labels, number = measure.label(before, connectivity=2, return_num=True)  # type: ignore[no-untyped-call]
    expected = before.copy()
    for region in range(1, number + 1):
        if (labels == region).sum() < area:
            expected[labels == region] = False
    after = mask.drop_small(before, area)
    assert after.dtype == np.bool_
    np.testing.assert_array_equal(after, expected)
    assert mask.count_regions(before) == number


def test_tools_take_views() -> None:
    before = np.zeros((9, 9), bool)
    before[4, 4] = before[4, 0] = True
    view = before[::2, ::2]
    assert mask.count_regions(view) == 2
    assert not mask.drop_small(view, 2).any()
    assert mask.close_gaps(view, 1)[2].tolist() == [True, True, True, False, False]


@settings(max_examples=60, deadline=None)
@given(before=masks(), close=st.integers(0, 4), least=st.integers(0, 9), grow=st.integers(0, 4),
       seed=st.integers(0, 99))  # fmt: skip
def test_tools_close_then_drop_then_grow_then_exclude(
    before: Mask, close: int, least: int, grow: int, seed: int
) -> None:
    exclude = np.random.default_rng(seed).random(before.shape) < 0.2
    tools = MaskTools(close, least, grow)
    expected = mask.grow(mask.drop_small(mask.close_gaps(before, close), least), grow)
    np.testing.assert_array_equal(tools.apply(before), expected)
    np.testing.assert_array_equal(tools.apply(before, exclude), expected & ~exclude)
    np.testing.assert_array_equal(MaskTools().apply(before), before)


def test_dots_of_one_scratch_are_no_specks_and_specks_do_not_grow() -> None:
    dotted = np.zeros((40, 60), bool)
    dotted[10, ::3] = True
    dotted[30, 30] = True
    after = MaskTools(close_gaps=2, min_area=20, grow=2).apply(dotted)
    assert after[8:13, :58].all()
    assert not after[13:].any()


@pytest.mark.parametrize("name", ["close_gaps", "min_area", "grow"])
def test_tools_take_no_negative_number(name: str) -> None:
    with pytest.raises(ValueError, match="negative"):
        MaskTools(**{name: -1})
    if name == "close_gaps":
        with pytest.raises(ValueError, match="-1"):
            mask.close_gaps(np.ones((3, 3), bool), -1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_overlay_shows_the_damage_and_leaves_the_rest(dtype: Any, channels: int) -> None:
    full = int(np.iinfo(dtype).max)
    pixels = np.full((30, 40, channels), full // 2, dtype)
    damaged = np.zeros((30, 40), bool)
    damaged[12:18, 10:30] = True
    shown = mask.overlay(pixels, damaged)
    assert shown.shape == (30, 40, 3)
    assert shown.dtype == np.uint8
    assert shown[2, 2].tolist() == [127] * 3
    assert shown[14, 20].tolist() == [127 // 2 + 127, 127 // 2, 127 // 2]
    assert shown[11, 20].tolist() == [255, 0, 0]
    assert shown[10, 20].tolist() == [127] * 3
    # In a large photo the outline of a thin scratch is wide enough to be seen.
    thin = np.zeros((1, 4000), bool)
    thin[0, 2000] = True
    assert (mask.overlay(np.zeros((1, 4000, 3), np.uint8), thin)[0, :, 0] == 255).sum() == 8
