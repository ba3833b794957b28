"""Aged damage is in the mask where it shows, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli.aging import VISIBLE, age
from inpaintcli.damage import damage
from inpaintcli.errors import UsageError
from tests.helpers import inpaint, load, picture, save


@given(
    height=st.integers(1, 120), width=st.integers(1, 120), channels=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]), seed=st.integers(0, 999),
    amount=st.sampled_from([0.3, 1.0, 3.0]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_the_mask_is_what_has_visibly_changed(
    height: int, width: int, channels: int, dtype: type[np.uint8], seed: int, amount: float
) -> None:
    pixels = picture(height, width, channels, dtype)
    aged, mask = age(pixels, np.random.default_rng(seed), amount)
    assert aged.shape == pixels.shape
    assert aged.dtype == pixels.dtype
    colours = 3 if channels >= 3 else 1
    change = np.abs(aged[..., :colours].astype(int) - pixels[..., :colours]).max(2)
    assert (mask == (change >= VISIBLE * np.iinfo(dtype).max)).all()
    assert (aged[..., colours:] == pixels[..., colours:]).all(), "alpha is left alone"
    if height * width > 1:
        assert mask.any()
        assert not mask.all()


def test_the_seed_and_the_name_fix_it() -> None:
    pixels = picture(200, 300)
    one, mask = damage(pixels, "aged", seed=3, name="a")
    again, _ = damage(pixels, "aged", seed=3, name="a")
    assert (one == again).all()
    for seed, name in ((4, "a"), (3, "b")):
        other, other_mask = damage(pixels, "aged", seed=seed, name=name)
        assert (other != one).any()
        assert (other_mask != mask).any()


def test_damage_is_of_many_kinds() -> None:
    """Bright and dark, opaque and half-transparent, on a few per cent of the pixels."""
    grey = np.full((400, 600, 3), 128, np.uint8)
    brighter, darker, faint, strong, shares = 0, 0, 0, 0, []
    for seed in range(20):
        aged, mask = age(grey, np.random.default_rng(seed))
        change = aged.astype(int).mean(2) - 128
        brighter += int((change[mask] > 60).sum())
        darker += int((change[mask] < -60).sum())
        faint += int((np.abs(change[mask]) < 30).sum())
        strong += int((np.abs(change[mask]) > 90).sum())
        shares.append(mask.mean())
    assert min(brighter, darker, faint, strong) > 0.02 * sum(shares) * grey[..., 0].size
    assert 0.005 < np.mean(shares) < 0.15


def test_artefacts_grow_with_the_photo() -> None:
    """The same scan at three times the resolution has about the same share of damage."""

    def share(side: int) -> float:
        pixels = np.full((side, side, 3), 90, np.uint8)
        return float(np.mean([age(pixels, np.random.default_rng(s))[1].mean() for s in range(12)]))

    assert share(900) == pytest.approx(share(300), rel=0.6)


def test_the_command_makes_them(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(120, 160))
    done = inpaint("damage", "a.png", "-o", "out", "--kind", "aged", "--seed", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    aged, mask = (load(tmp_path / "out" / part / "a.png") for part in ("damaged", "masks"))
    assert (aged != load(tmp_path / "a.png")).any()
    assert 0 < (mask > 127).mean() < 1
    for option in (("--count", 1, 2), ("--thickness", 1, 2), ("--coverage", 0.1)):
        done = inpaint("damage", "a.png", "-o", "x", "--kind", "aged", *option, cwd=tmp_path)
        assert done.returncode == 2
        assert "aged" in done.stderr
    with pytest.raises(UsageError, match="aged"):
        damage(picture(), "aged", count=(1, 2))


def test_a_fold_is_sharp_on_one_side_and_falls_off_on_the_other() -> None:
    """Lit at the fold, less and less away from it, and never a line with two edges alike."""
    grey = np.full((600, 600), 128, np.uint8)
    one_sided = 0
    for seed in range(30):
        aged, mask = age(grey, np.random.default_rng(seed), kinds=["fold"])
        if not mask.any():
            continue
        change = np.abs(aged.astype(int) - 128)
        y, x = np.unravel_index(int(change.argmax()), change.shape)
        near = change[max(0, y - 25) : y + 26, x], change[y, max(0, x - 25) : x + 26]
        profile = max(near, key=lambda line: np.abs(np.diff(line)).max())
        steps = np.diff(profile)
        up, down = steps.max(), -steps.min()
        one_sided += bool(max(up, down) > 1.7 * min(up, down))
    assert one_sided >= 20
