"""Damage is what was asked for, where it was asked for, and the same again for the same seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli.damage import (
    DRAWN,
    RECIPES,
    Kind,
    apply_mask,
    damage,
    draw_lines,
    draw_mask,
    generator,
)
from inpaintcli.errors import UsageError

PHOTO = (321, 481)


@pytest.mark.parametrize("kind", DRAWN)
def test_the_seed_and_the_name_fix_the_damage(kind: Kind) -> None:
    first = draw_mask(PHOTO, generator(3, "a/b"), kind)
    assert (first == draw_mask(PHOTO, generator(3, "a/b"), kind)).all()
    assert (first != draw_mask(PHOTO, generator(4, "a/b"), kind)).any()
    assert (first != draw_mask(PHOTO, generator(3, "a/c"), kind)).any()


@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    kind=st.sampled_from(DRAWN),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_any_size_gets_a_mask_that_leaves_something(
    height: int, width: int, kind: Kind, seed: int
) -> None:
    mask = draw_mask((height, width), generator(seed), kind)
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert not mask.all()


@pytest.mark.parametrize("kind", [kind for kind in DRAWN if RECIPES[kind].coverage])
def test_coverage_is_within_the_recipe(kind: Kind) -> None:
    bounds = RECIPES[kind].coverage
    assert bounds
    for seed in range(5):
        share = draw_mask((600, 800), generator(seed), kind).mean()
        # The last shape may go beyond, but not by more than a quarter.
        assert bounds[0] * 0.75 <= share <= bounds[1] * 1.25


def test_coverage_count_and_thickness_are_obeyed() -> None:
    for share in (0.02, 0.1, 0.3):
        drawn = draw_mask((400, 400), generator(1), "scratches", coverage=share).mean()
        assert drawn == pytest.approx(share, rel=0.25)
    one = draw_mask((400, 400), generator(5), "lines", count=(1, 1), thickness=(3, 3))
    assert cv2.connectedComponents(one.astype(np.uint8))[0] == 2
    # The middle of a line of 3 px is 2 px from its outside; OpenCV rounds slanted lines up.
    inside = cv2.distanceTransform(one.astype(np.uint8), cv2.DIST_L2, 5).max()
    assert 1.5 <= inside <= 3
    none = draw_mask((40, 40), generator(5), "lines", count=(0, 0))
    assert not none.any()


def test_lines_are_the_published_recipe_on_a_patch_and_grow_with_the_photo() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        canvas = np.zeros((32, 32), np.uint8)
        draw_lines(canvas, rng)
        shares.append(canvas.mean())
    patch = draw_mask((32, 32), generator(0), "lines")
    assert patch.any()
    large = [draw_mask((1280, 1280), generator(seed), "lines").mean() for seed in range(40)]
    # 40 times the side with 40 times the thickness covers the same share of the picture.
    assert np.mean(large) == pytest.approx(np.mean(shares), rel=0.35)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_damaged_pixels_are_white_and_all_others_and_alpha_are_untouched(
    dtype: type[np.uint8], channels: int
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, np.iinfo(dtype).max, (50, 60, channels)).astype(dtype)
    damaged, mask = damage(pixels, "scratches", seed=1, name="x")
    assert mask.any()
    colours = 3 if channels >= 3 else 1
    assert (damaged[mask, :colours] == np.iinfo(dtype).max).all()
    assert (damaged[..., colours:] == pixels[..., colours:]).all()
    assert (damaged[~mask] == pixels[~mask]).all()
    assert (apply_mask(pixels, mask) == damaged).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": (5, 2)}, "smaller number first"),
        ({"thickness": (0, 2)}, "from 1 to 10000"),
        ({"thickness": (1, 10_001)}, "from 1 to 10000"),
        ({"coverage": 1.5}, "between 0 and 1"),
        ({"coverage": 0.1, "count": (1, 2)}, "exclude each other"),
        ({"kind": "rain"}, "choose from lines, scratches"),
    ],
)
def test_wrong_recipes_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw_mask((10, 10), generator(0), **options)  # type: ignore[arg-type]
