"""Grain: a fill ends up with its surroundings' noise, clean photos with none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inpaintcli.arrays import Mask, Pixels
from inpaintcli.errors import UsageError
from inpaintcli.grain import add_grain, parse_strength

Noise = NDArray[np.float32]
#: A photo of these many pixels, with a hole too wide for its rim to say anything of its middle.
HEIGHT, WIDTH = 320, 400
HOLE = np.s_[110:210, 140:260]


def smooth(height: int = HEIGHT, width: int = WIDTH) -> Noise:
    """A picture (h, w, 3) in 0..255 without any detail."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([120 + 40 * np.sin(x / 90 + k + y / 120) for k in range(3)], 2).astype("f4")


def noise(sigma: float, blur: float = 0, *, equal: bool = True) -> Noise:
    """Gaussian noise (HEIGHT, WIDTH, 3) of this standard deviation and blur."""
    rng = np.random.default_rng(7)
    planes = [rng.standard_normal((HEIGHT, WIDTH), np.float32) for _ in range(1 if equal else 3)]
    if blur:
        planes = [cv2.GaussianBlur(plane, (0, 0), blur).astype("f4") for plane in planes]
    drawn = np.stack([plane * (sigma / plane.std()) for plane in planes], 2)
    return np.asarray(np.broadcast_to(drawn, (HEIGHT, WIDTH, 3)), np.float32)


def hole() -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[HOLE] = True
    return mask


def photo(clean: Noise, grain: Noise | float, mask: Mask) -> Pixels:
    """Grain on a clean picture, except where a fill has replaced it."""
    grainy = np.where(mask[..., None], clean, clean + grain)
    pixels: Pixels = np.rint(np.clip(grainy, 0, 255)).astype(np.uint8)
    return pixels


def lag(added: Noise) -> float:
    """Autocorrelation of (h, w) noise with its neighbour to the right."""
    return float((added[:, 1:] * added[:, :-1]).mean() / added.var())


def clothes(seed: int) -> Noise:
    """A busy picture: a random field with the 1/f amplitude of natural images, some of it calm."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    spectrum = np.fft.rfft2(rng.standard_normal((HEIGHT, WIDTH))) / np.maximum(radius, 0.01)
    field = np.fft.irfft2(spectrum, (HEIGHT, WIDTH))
    calm = np.linspace(0.02, 1, WIDTH) ** 2
    return np.repeat((128 + 45 * calm * field / field.std())[..., None], 3, 2).astype("f4")


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(("sigma", "blur"), [(4, 0), (10, 0.7), (20, 1.0), (12, 1.5)])
def test_the_fill_gets_the_grain_around_it(sigma: float, blur: float, equal: bool) -> None:
    clean, grain, mask = smooth(), noise(sigma, blur, equal=equal), hole()
    pixels = photo(clean, grain, mask)
    add_grain(pixels, mask)
    added = (pixels - clean)[HOLE]
    assert added.std((0, 1)) == pytest.approx(grain.std((0, 1)), rel=0.2)
    assert abs(added.mean()) < 0.1 * sigma
    for channel in range(3):
        assert lag(added[..., channel]) == pytest.approx(lag(grain[..., channel]), abs=0.1)
    between = np.corrcoef(added.reshape(-1, 3).T)[np.triu_indices(3, 1)]
    assert between == pytest.approx([float(equal)] * 3, abs=0.15)


def test_shading_is_not_taken_for_grain() -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = 128 + 50 * np.sin(x / 18) * np.cos(y / 22)
    clean = np.repeat(waves[..., None], 3, 2).astype("f4")
    pixels = photo(clean, noise(5), hole())
    add_grain(pixels, hole())
    added = (pixels - clean)[HOLE]
    assert added.std() == pytest.approx(5, rel=0.2)
    assert lag(added[..., 0]) == pytest.approx(0, abs=0.1)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = hole()
    mask[60:, 40:43] = True
    one, many = (photo(smooth(), noise(10, 0.7), mask) for _ in range(2))
    monkeypatch.setattr("inpaintcli.grain.STRIP", 1024)
    add_grain(one, mask)
    monkeypatch.setattr("inpaintcli.grain.STRIP", 32)
    add_grain(many, mask)
    # Sums in another order may round otherwise, hardly ever.
    assert (one != many).mean() < 0.001
    assert np.abs(one.astype(int) - many).max() <= 1


def test_uneven_channels_keep_their_own_amounts() -> None:
    clean, mask = smooth(), hole()
    grain = noise(8, equal=False) * np.array([0.5, 1, 2], np.float32)
    pixels = photo(clean, grain, mask)
    add_grain(pixels, mask)
    assert (pixels - clean)[HOLE].std((0, 1)) == pytest.approx([4, 8, 16], rel=0.2)


def test_grain_follows_brightness() -> None:
    ramp = np.linspace(40, 210, WIDTH)
    clean = np.broadcast_to(ramp[None, :, None], (HEIGHT, WIDTH, 3)).astype("f4")
    amount = 4 + 8 * (ramp - 40) / 170
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[120:200] = True
    pixels = photo(clean, noise(1) * amount[None, :, None].astype("f4"), mask)
    add_grain(pixels, mask)
    added = (pixels - clean)[120:200]
    for part in (np.s_[:, :60], np.s_[:, 170:230], np.s_[:, -60:]):
        assert added[part].std() == pytest.approx(amount[part[1]].mean(), rel=0.2)


def test_grain_is_local() -> None:
    clean = np.full((HEIGHT, 3 * WIDTH, 3), 120, np.float32)
    grain = np.concatenate([noise(5), noise(5), noise(10)], 1)
    mask = np.zeros(clean.shape[:2], bool)
    mask[130:190, 60:140] = mask[130:190, -140:-60] = True
    pixels = photo(clean, grain, mask)
    add_grain(pixels, mask)
    added = pixels - clean
    assert added[130:190, 60:140].std() == pytest.approx(5, rel=0.2)
    assert added[130:190, -140:-60].std() == pytest.approx(10, rel=0.2)


def test_a_fill_with_grain_of_its_own_gets_none_on_top() -> None:
    clean, grain, mask = smooth(), noise(10, 0.7), hole()
    pixels = photo(clean, grain, np.zeros_like(mask))
    add_grain(pixels, mask)
    # Where chance left the fill a little calmer, a little is added: no more than that.
    assert (pixels - clean)[HOLE].std() == pytest.approx(10, rel=0.1)


def test_a_thin_scratch_is_not_overdone() -> None:
    clean, grain = smooth(), noise(12, 1)
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x in range(20, WIDTH, 60):
        cv2.line(drawn, (x, 0), (x + 30, HEIGHT), 1, 3)
    mask = drawn > 0
    damaged = photo(clean, grain, np.zeros_like(mask))
    pixels = cv2.inpaint(damaged, drawn, 3, cv2.INPAINT_TELEA).astype(np.uint8)
    before = (pixels - clean)[mask].std()
    add_grain(pixels, mask)
    assert before < 0.75 * 12
    assert (pixels - clean)[mask].std() == pytest.approx(12, rel=0.2)


@pytest.mark.parametrize("clean", [smooth(), clothes(0), clothes(1)])
@pytest.mark.parametrize("sigma", [0, 1])
def test_auto_leaves_clean_photos_alone(clean: Noise, sigma: float) -> None:
    pixels = photo(clean, noise(1) * sigma, hole())
    before = pixels.copy()
    add_grain(pixels, hole())
    assert np.array_equal(pixels, before)


def test_an_even_patch_in_a_busy_photo_is_not_grain() -> None:
    # A lawn beside bushes: the busy part has no floor that the even part could be the grain of.
    bushes = noise(1, 0.7) * np.exp(np.float32(1.5) * noise(1, 20)) * 12
    lawn = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    lawn[:, :64] = 1
    pixels = photo(170 - 110 * lawn + 0 * bushes, bushes + lawn * (noise(6) - bushes), hole())
    before = pixels.copy()
    add_grain(pixels, hole())
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("strength", [None, 1.0])
@pytest.mark.parametrize("value", [3, 128, 200, 250])
@pytest.mark.parametrize("width", [48, 40])
def test_a_border_does_not_change_the_grain(width: int, value: int, strength: float | None) -> None:
    """Also where it ends within blocks, which then are partly flat."""
    clean, mask = smooth(), hole()
    plain = photo(clean, noise(8, 0.7), mask)
    framed = np.pad(plain, ((width, width), (width, width), (0, 0)), constant_values=value)
    inside = np.s_[width:-width, width:-width]
    assert add_grain(framed, np.pad(mask, width), strength)
    assert add_grain(plain, mask, strength)
    added = [(pixels - clean)[HOLE].std() for pixels in (plain, framed[inside])]
    assert added[1] == pytest.approx(added[0], rel=0.05)


def test_a_caption_bar_does_not_change_the_grain() -> None:
    clean, mask = smooth(), hole()
    pixels = photo(clean, noise(8, 0.7), mask)
    pixels[-56:] = 128
    assert add_grain(pixels, mask)
    assert (pixels - clean)[HOLE].std() == pytest.approx(8, rel=0.2)


@pytest.mark.parametrize("slope", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("spread", [0, 0.5, 1])
def test_a_clean_gradient_gets_nothing(slope: float, spread: float) -> None:
    """Whatever the steps of 8 bit look like on it, dithered or not."""
    ramp = np.broadcast_to(40 + slope * np.arange(WIDTH)[None, :, None], (HEIGHT, WIDTH, 3))
    dither = np.random.default_rng(0).uniform(-spread, spread, (HEIGHT, WIDTH, 3)).astype("f4")
    for drawn in (dither, dither[..., :1]):
        pixels = photo(ramp.astype("f4"), drawn, hole())
        before = pixels.copy()
        assert not add_grain(pixels, hole())
        assert np.array_equal(pixels, before)


def test_it_says_whether_there_was_any_grain() -> None:
    grainy, flat = photo(smooth(), noise(8), hole()), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert not add_grain(grainy, hole(), 0.0)
    assert not add_grain(grainy, np.zeros_like(hole()), 1.0)
    assert not add_grain(flat, hole(), 1.0)
    assert (flat == 90).all()
    assert add_grain(grainy, hole(), 1.0)


def test_strength_scales_and_off_does_nothing() -> None:
    clean, grain, mask = smooth(), noise(6), hole()
    spread = {}
    for strength in (0.0, 0.5, 1.0, 3.0):
        pixels = photo(clean, grain, mask)
        add_grain(pixels, mask, strength)
        spread[strength] = float((pixels - np.rint(clean))[HOLE].std())
    assert spread[0.0] == 0
    assert [spread[one] / one for one in (0.5, 1.0, 3.0)] == pytest.approx([6, 6, 6], rel=0.2)


def test_a_number_adds_even_grain_too_faint_for_auto() -> None:
    clean, mask = smooth(), hole()
    pixels = photo(clean, noise(1.4), mask)
    add_grain(pixels, mask, 1.0)
    assert (pixels - np.rint(clean))[HOLE].std() == pytest.approx(1.4, rel=0.3)


def test_grey_stays_grey() -> None:
    clean = np.repeat(smooth()[..., :1], 3, 2)
    pixels = photo(clean, noise(9, 0.7), hole())
    add_grain(pixels, hole())
    assert (pixels - clean)[HOLE].std() > 7
    assert (pixels == pixels[..., :1]).all()


def test_16_bits_get_the_same_grain_as_8() -> None:
    few = photo(smooth(), noise(8), hole())
    many = few.astype(np.uint16) * np.uint16(257)
    add_grain(few, hole())
    add_grain(many, hole())
    assert np.abs(many / 257 - few).max() < 0.51
    assert len(np.unique(many[HOLE])) > 256, "16 bits must be used"


def test_the_seed_decides_and_nothing_else_does() -> None:
    grainy = photo(smooth(), noise(8), hole())
    first, again, other = grainy.copy(), grainy.copy(), grainy.copy()
    add_grain(first, hole(), seed=1)
    add_grain(again, hole(), seed=1)
    add_grain(other, hole(), seed=2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_the_damage_looks_like_is_not_measured() -> None:
    mask = hole()
    mask[:, 300:330] = True
    results = []
    for value in (0, 255):
        pixels = photo(smooth(), noise(8), mask)
        pixels[:, 300:330] = value
        add_grain(pixels, mask)
        results.append(pixels[HOLE])
    assert np.array_equal(results[0], results[1])


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    share=st.sampled_from([0.0, 0.02, 0.3, 0.97, 1.0]),
    sixteen=st.booleans(),
    strength=st.sampled_from([None, 0.0, 1.0, 4.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_only_masked_pixels_ever_change(
    height: int, width: int, share: float, sixteen: bool, strength: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    top = 65535 if sixteen else 255
    pixels: Pixels = rng.integers(0, top + 1, (height, width, 3)).astype("u2" if sixteen else "u1")
    mask = rng.random((height // 9 + 1, width // 9 + 1)) < share
    mask = np.kron(mask, np.ones((9, 9), bool))[:height, :width]
    first, second = pixels.copy(), pixels.copy()
    add_grain(first, mask, strength, seed)
    add_grain(second, mask, strength, seed)
    assert np.array_equal(first, second)
    assert np.array_equal(first[~mask], pixels[~mask])
    if strength == 0:
        assert np.array_equal(first, pixels)


@pytest.mark.parametrize(
    ("text", "strength"), [("auto", None), ("off", 0.0), ("0", 0.0), ("0.5", 0.5), ("4", 4.0)]
)
def test_strengths_are_read(text: str, strength: float | None) -> None:
    assert parse_strength(text) == strength


@pytest.mark.parametrize("text", ["", "on", "-1", "4.1", "5", "nan", "inf", "1,5", "much"])
def test_other_strengths_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_strength(text)
    assert str(caught.value) == f"--grain {text}: give auto, off or a number from 0 to 4"


def test_add_grain_refuses_them_too() -> None:
    for strength, text in ((-0.1, "-0.1"), (4.5, "4.5"), (float("nan"), "nan")):
        with pytest.raises(UsageError, match=f"--grain {text}: give auto, off or a number"):
            add_grain(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), strength)
