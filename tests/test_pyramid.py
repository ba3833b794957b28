"""Half size, double size and depth against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli.pyramid import deeper_than, doubled, halved, near
from tests.helpers import picture


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_halved_is_the_mean_of_the_known_pixels(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    mask = rng.random((height, width)) < 0.6
    small, small_mask = halved(pixels, mask)
    for y in range((height + 1) // 2):
        for x in range((width + 1) // 2):
            block = np.s_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            known = pixels[block][~mask[block]]
            assert small_mask[y, x] == (len(known) == 0)
            if len(known):
                expected = known.mean(0) * 257
                assert np.abs(small[y, x] - expected).max() <= 0.6


def test_doubled_strips_meet_without_a_seam() -> None:
    pixels = picture(37, 20, dtype=np.uint16)
    whole = np.concatenate([strip for _, strip in doubled(pixels, (73, 40))])
    strips = list(doubled(pixels, (73, 40), strip=5))
    assert len(strips) > 4
    assert [top for top, _ in strips] == list(range(0, 80, 10))[: len(strips)]
    np.testing.assert_array_equal(np.concatenate([strip for _, strip in strips]), whole)
    assert whole.shape == (73, 40, 3)


def test_deep_damage_is_what_is_farther_from_known_pixels_than_the_reach() -> None:
    mask = np.zeros((30, 40), bool)
    mask[5:25, 10:30] = True
    mask[:, 35:] = True
    deep = deeper_than(mask, 3)
    assert not (deep & ~mask).any()
    assert deep[15, 20]
    assert not deep[15, 12]
    assert not deep[6, 20]
    # Damage at the photo's edge has no known pixel beyond it.
    assert deep[15, 39]
    assert not deep[15, 36]


@given(distance=st.sampled_from([0, 1, 2, 8, 15, 16, 40]), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_near_is_what_lies_within_the_distance_at_half_size(distance: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 60, 2))
    places = rng.random((height, width)) < 0.003
    damage = rng.random(((height + 1) // 2, (width + 1) // 2)) < 0.7
    expected = np.zeros_like(damage)
    for y, x in np.argwhere(places) // 2:
        rows, columns = np.ogrid[: damage.shape[0], : damage.shape[1]]
        expected |= (rows - y) ** 2 + (columns - x) ** 2 <= distance**2
    np.testing.assert_array_equal(near(places, distance, damage), damage & expected)
