"""Old-looking photographs: changed in look, not in size or depth, and alike for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli.damage import old_looking
from inpaintcli.looks import grained, is_pale, look_old, retoned, scanned, toned
from tests.helpers import inpaint, load, picture, save


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), channels=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]), seed=st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_photo_can_look_old(
    height: int, width: int, channels: int, dtype: type[np.uint8], seed: int
) -> None:
    pixels = picture(height, width, channels, dtype)
    before = pixels.copy()
    old = look_old(pixels, np.random.default_rng(seed))
    assert (old.shape, old.dtype) == (pixels.shape, pixels.dtype)
    assert (pixels == before).all(), "the original is left alone"
    colours = 3 if channels >= 3 else 1
    assert (old[..., colours:] == pixels[..., colours:]).all(), "alpha is left alone"


def test_looks_are_of_many_kinds() -> None:
    """Some lose their colours, some their contrast, some get a border, few stay as they are."""
    pixels = picture(200, 300, 3)
    grey = faded = bordered = same = 0
    for seed in range(60):
        old = look_old(pixels, np.random.default_rng(seed)).astype(int)
        same += bool((old == pixels).all())
        spread = np.ptp(old, axis=2)
        grey += bool(spread.max() <= 1)
        faded += bool(np.percentile(old, 99) - np.percentile(old, 1) < 170)
        rim = old[:3, 20:-20]
        bordered += bool(rim.std() < 6 < old[50:150, 50:250].std())
    assert grey >= 5
    assert faded >= 5
    assert bordered >= 5
    assert same <= 10


def test_the_seed_and_the_name_fix_it() -> None:
    pixels = picture(120, 160, 3)
    one = old_looking(pixels, seed=3, name="a")
    assert (one == old_looking(pixels, seed=3, name="a")).all()
    assert (one != old_looking(pixels, seed=4, name="a")).any()
    assert (one != old_looking(pixels, seed=3, name="b")).any()


def test_tone_and_grain_stay_in_range() -> None:
    white = np.ones((40, 50, 3), np.float32)
    for seed in range(20):
        for change in (toned, grained):
            found = change(white, np.random.default_rng(seed))
            assert found.dtype == np.float32
            assert 0 <= found.min() <= found.max() <= 1


def test_a_scan_changes_little() -> None:
    pixels = np.asarray(picture(120, 160, 3), np.uint8)
    for seed in range(20):
        scan = scanned(pixels, np.random.default_rng(seed))
        assert scan.shape == pixels.shape
        assert scan.dtype == np.uint8
        assert np.abs(scan.astype(int) - pixels).mean() < 12


def test_damage_writes_what_to_compare_with(tmp_path: Path) -> None:
    """The old-looking original differs from the damaged photo where the mask says, and there only
    much."""
    photo = save(tmp_path / "in" / "a.png", picture(200, 260, 3))
    out = tmp_path / "out"
    result = inpaint("damage", str(photo), "-o", str(out), "--kind", "aged", "--look", "old")
    assert result.returncode == 0, result.stderr
    undamaged = load(out / "undamaged" / "a.png").astype(int)
    damaged = load(out / "damaged" / "a.png").astype(int)
    mask = load(out / "masks" / "a.png")[..., 0] > 0
    change = np.abs(damaged - undamaged).max(2)
    assert change[mask].min() >= 0.05 * 255 - 1
    assert change[~mask].max() < 0.05 * 255
    again = inpaint("damage", str(photo), "-o", str(out), "--kind", "aged", "--look", "old")
    assert again.returncode == 2
    assert "exist already" in again.stderr


@pytest.mark.parametrize("look", ["new", ""])
def test_unknown_looks_are_refused(tmp_path: Path, look: str) -> None:
    photo = save(tmp_path / "a.png", picture(20, 20, 3))
    result = inpaint("damage", str(photo), "-o", str(tmp_path / "out"), "--look", look)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_tone_over_all_takes_other_colours_away() -> None:
    """White on brown stays white on brown in lightness, and is no colour of its own any more."""
    brown = np.full((60, 80, 3), (110, 100, 88), np.uint8)
    brown[20:30] = (215, 225, 240)
    for seed in range(10):
        toned_all = retoned(brown, np.random.default_rng(seed), grey=is_pale(brown)).astype(int)
        paper, ground = toned_all[20:30].mean((0, 1)), toned_all[40:].mean((0, 1))
        assert paper.mean() - ground.mean() > 60
        # Where it was bluish it has the print's warmth, or none.
        assert paper[2] - paper[0] < 25


def test_a_tone_leaves_a_colour_photo_its_colours() -> None:
    colours = picture(90, 120, 3)
    colours[:, :60] = (200, 40, 40)
    colours[:, 60:] = (40, 40, 200)
    strong = colours.astype(np.uint8)
    found = retoned(strong, np.random.default_rng(0), grey=is_pale(strong)).astype(int)
    assert (found[:, :60, 0] > found[:, :60, 2] + 80).all()
    assert (found[:, 60:, 2] > found[:, 60:, 0] + 50).all()
