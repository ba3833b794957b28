"""Wide fills take over the texture of their surroundings; everything else stays as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import filters

from inpaintcli import texture
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.texture import add_texture


def cloth(height: int, width: int, seed: int = 0, depth: type[np.uint8] = np.uint8) -> Pixels:
    """A reddish picture with an even, fine texture."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 1.0)
    planes = 0.5 + np.array([0.2, 0.0, -0.2]) + 0.1 / (noise.std() or 1) * noise[..., None]
    pixels: Pixels = np.rint(np.clip(planes, 0, 1) * np.iinfo(depth).max).astype(depth)
    return pixels


def disc(height: int, width: int, radius: int) -> Mask:
    y, x = np.mgrid[0:height, 0:width]
    return np.asarray(np.hypot(y - height // 2, x - width // 2) < radius)


def smeared(pixels: Pixels, mask: Mask) -> Pixels:
    """What a network makes of a wide hole: the mean colour of what surrounds it."""
    fill = pixels.copy()
    fill[mask] = pixels[~mask].mean(0)
    return fill


def detail(pixels: Pixels, mask: Mask) -> float:
    """The standard deviation of scikit-image's Laplacian where the mask is."""
    laplacian = filters.laplace(pixels.astype(float).mean(2))  # type: ignore[no-untyped-call]
    return float(laplacian[mask].std())


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_the_middle_of_a_wide_fill_gets_as_much_detail_as_its_surroundings(
    depth: type[np.uint8],
) -> None:
    pixels = cloth(200, 240, depth=depth)
    mask, middle = disc(200, 240, 40), disc(200, 240, 24)
    fill = smeared(pixels, mask)
    assert detail(fill, middle) == 0
    add_texture(fill, mask)
    assert 0.7 < detail(fill, middle) / detail(pixels, middle) < 1.3
    # The smear's own colour is kept: detail is added, not brightness.
    difference = fill[middle].mean(0) - pixels[~mask].mean(0)
    assert np.abs(difference).max() < 0.02 * np.iinfo(depth).max


def test_known_pixels_and_the_rim_stay() -> None:
    pixels, mask = cloth(160, 160), disc(160, 160, 36)
    fill = smeared(pixels, mask)
    before = fill.copy()
    add_texture(fill, mask)
    assert (fill[~mask] == before[~mask]).all()
    rim = mask & ~disc(160, 160, 33)
    assert (fill[rim] == before[rim]).all()


def test_scratches_are_left_alone() -> None:
    pixels = cloth(120, 120)
    mask = np.zeros((120, 120), bool)
    mask[:, 50:58] = True
    mask[20:26] = True
    fill = smeared(pixels, mask)
    before = fill.copy()
    add_texture(fill, mask)
    assert (fill == before).all()


def test_where_nothing_has_texture_none_is_made() -> None:
    flat = np.full((150, 150, 3), (90, 120, 200), np.uint8)
    before = flat.copy()
    add_texture(flat, disc(150, 150, 40))
    assert (flat == before).all()


def test_texture_comes_from_where_the_colour_is_the_same() -> None:
    """Half sky, half cloth: a hole in the sky stays smooth, one in the cloth does not."""
    pixels = cloth(200, 400)
    pixels[:, :200] = (120, 160, 220)
    mask = np.zeros((200, 400), bool)
    mask[:, :200], mask[:, 200:] = disc(200, 200, 30), disc(200, 200, 30)
    fill = pixels.copy()
    fill[:, 200:] = smeared(pixels[:, 200:], mask[:, 200:])
    add_texture(fill, mask)
    middle = disc(200, 200, 15)
    assert detail(fill[:, :200], middle) < 0.05 * detail(fill[:, 200:], middle)


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 99),
    share=st.sampled_from([0.0, 0.3, 0.9, 1.0]), depth=st.sampled_from([np.uint8, np.uint16]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_mask_will_do_and_the_result_is_always_the_same(
    height: int, width: int, seed: int, share: float, depth: type[np.uint8]
) -> None:
    pixels = cloth(height, width, seed, depth)
    mask = np.zeros((height, width), bool)
    mask[: round(share * height), : round((share + 1) / 2 * width)] = True
    once, again = pixels.copy(), pixels.copy()
    add_texture(once, mask)
    add_texture(again, mask)
    assert (once == again).all()
    assert (once[~mask] == pixels[~mask]).all()


def test_damage_that_is_not_wide_is_left_alone_beside_damage_that_is() -> None:
    """A strip of 20 px is the same whether an L of 40 px lies around it or not."""
    pixels = cloth(300, 300)
    mask = np.zeros((300, 300), bool)
    mask[40:260, 40:80] = mask[220:260, 40:260] = True
    strip = np.zeros_like(mask)
    strip[100:180, 140:160] = True
    fill = smeared(pixels, mask | strip)
    before = fill.copy()
    add_texture(fill, mask | strip)
    assert (fill[strip] == before[strip]).all()
    assert detail(fill, mask) > detail(before, mask)


def test_a_hole_of_many_tiles_has_detail_everywhere_and_no_seams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(texture, "TILE", 160)
    monkeypatch.setattr(texture, "OVERLAP", 48)
    pixels = cloth(520, 560)
    mask = np.zeros((520, 560), bool)
    mask[60:460, 60:500] = True
    fill = smeared(pixels, mask)
    add_texture(fill, mask)
    whole = detail(pixels, mask)
    for top in range(80, 400, 40):
        for left in range(80, 440, 40):
            place = np.zeros_like(mask)
            place[top : top + 40, left : left + 40] = True
            assert 0.5 < detail(fill, place) / whole < 1.5, (top, left)
    # A seam would be a row or a column with larger steps than all others.
    values = fill[80:440, 80:480].astype(float).mean(2)
    for axis in (0, 1):
        steps = np.abs(np.diff(values, axis=axis)).mean(1 - axis)
        assert steps.max() < 1.7 * np.median(steps)


def test_a_mast_before_the_sky_is_not_taken_for_the_skys_texture() -> None:
    """Thin masts hardly change the blurred colours, but most of the sky has nothing of the kind."""
    rng = np.random.default_rng(0)
    sky = np.clip(rng.normal((120, 140, 200), 1.5, (300, 300, 3)), 0, 255).astype(np.uint8)
    for x in (20, 60, 230, 270):
        sky[:, x : x + 2] = 60
    mask = disc(300, 300, 40)
    fill = sky.copy()
    fill[mask] = (120, 140, 200)
    for seed in range(3):
        filled = fill.copy()
        add_texture(filled, mask, seed)
        change = np.abs(filled[mask].astype(int) - (120, 140, 200))
        assert change.max() < 15
        assert detail(filled, disc(300, 300, 20)) > 1
