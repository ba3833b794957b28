"""Infrared: what only dust darkens is found, whatever the picture and the scanner do to it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.damage import draw_mask
from inpaintcli.errors import UsageError
from inpaintcli.infrared import find_damage

PHOTOS = ["astronaut", "coffee", "camera"]
#: What red, green and blue density do to the infrared's: of dyes, of black-and-white silver.
DYES, SILVER = (0.12, 0.03, 0.0), (0.35, 0.35, 0.3)


def picture(name: str) -> Floats:
    """(h, w, 1 or 3) of a photograph, in [0, 1]."""
    pixels = np.asarray(getattr(skimage.data, name)())
    return (pixels.reshape(*pixels.shape[:2], -1) / 255).astype(np.float32)


def flat() -> Floats:
    return np.full((400, 500, 3), 0.5, np.float32)


def dust(shape: tuple[int, ...], specks: int = 40, seed: int = 1) -> Floats:
    """(h, w): the share of light that specks, scratches and a flake take away."""
    rng = np.random.default_rng(seed)
    size = (shape[0], shape[1])
    taken = np.zeros(size, np.float32)
    masks = []
    for _ in range(specks):
        speck = np.zeros(size, np.uint8)
        at = int(rng.integers(size[1])), int(rng.integers(size[0]))
        cv2.circle(speck, at, int(rng.integers(1, 5)), 1, -1)
        masks.append(speck.astype(bool))
    for _ in range(4):
        masks.append(draw_mask(size, rng, "scratches", count=(1, 1), thickness=(1, 3)))
    masks.append(draw_mask(size, rng, "holes", count=(1, 1), thickness=(24, 40)))
    for mask in masks:
        np.maximum(taken, mask * np.float32(rng.uniform(0.3, 1)), out=taken)
    return taken


def shifted(plane: NDArray[Any], right: float, down: float) -> NDArray[Any]:
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(plane, move, plane.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def scan(
    clean: Floats,
    taken: Floats | None = None,
    *,
    bleed: tuple[float, ...] = DYES,
    shade: float = 0.3,
    noise: float = 0.01,
    shift: tuple[float, float] = (0, 0),
    gamma: float = 1,
    positive: bool = False,
    dtype: Any = np.uint16,
) -> tuple[Pixels, Pixels]:
    """What a film scanner makes of it: infrared (h, w) and pixels (h, w, c).

    shade: what is missing in the corners. positive: a negative whose colours were inverted, so
    that dust is white in them.
    """
    height, width, channels = clean.shape
    rng = np.random.default_rng(0)
    light = np.clip(clean, 1 / 255, 1)
    density = 1.3 * light if positive else -np.log10(light)
    slopes = bleed if channels == 3 else (sum(bleed),)
    infrared = 0.85 * 10 ** -(density @ np.array(slopes))
    through = np.ones((height, width), np.float32)
    if taken is not None:
        through -= cv2.GaussianBlur(taken, (0, 0), 0.6)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    infrared = shifted(infrared * through, *shift) * (1 - shade * (x**2 + y**2) / 2)
    infrared += rng.normal(0, noise, infrared.shape)
    seen = 1 - (1 - light) * through[..., None] if positive else light * through[..., None]
    full = np.iinfo(dtype).max
    as_stored = (np.clip(infrared, 0, 1) ** gamma, np.clip(seen, 0, 1))
    stored: list[Pixels] = [np.rint(plane * full).astype(dtype) for plane in as_stored]
    return stored[0], stored[1]


def f1(found: Mask, taken: Floats) -> float:
    """The F1 score of a mask, where 2 px beside is right, for dust that takes 10 % of the light."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    true = taken > 0.1

    def share(a: Mask, b: Mask) -> float:
        return float(a[cv2.dilate(b.astype(np.uint8), disc) > 0].sum() / max(1, a.sum()))

    precision, recall = share(found, true), share(true, found)
    return 2 * precision * recall / max(precision + recall, 1e-9)


SCANS: dict[str, dict[str, Any]] = {
    "16 bit": {},
    "8 bit": {"dtype": np.uint8},
    "8 bit, gamma": {"dtype": np.uint8, "gamma": 1 / 2.2},
    "no bleed": {"bleed": (0, 0, 0)},
    "much bleed": {"bleed": (0.18, 0.04, 0)},
    "shaded": {"shade": 0.5},
    "shifted": {"shift": (3, -2)},
    "between pixels": {"shift": (-1.5, 2.5)},
    "noisy": {"noise": 0.03},
    "positive": {"positive": True},
}


@pytest.mark.parametrize("kind", SCANS)
@pytest.mark.parametrize("name", PHOTOS)
def test_dust_is_found_and_nothing_else(name: str, kind: str) -> None:
    clean = picture(name)
    taken = dust(clean.shape)
    found = find_damage(*scan(clean, taken, **SCANS[kind]))
    assert found.mask.shape == clean.shape[:2]
    assert found.mask.dtype == bool
    assert not found.silver
    assert f1(found.mask, taken) > (0.8 if kind == "much bleed" else 0.93)
    found = find_damage(*scan(clean, **SCANS[kind]))
    assert found.mask.mean() < 0.001
    assert not found.silver


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("name", PHOTOS)
def test_silver_is_recognised(name: str, positive: bool) -> None:
    clean = picture(name)
    for taken in (None, dust(clean.shape)):
        assert find_damage(*scan(clean, taken, bleed=SILVER, positive=positive)).silver


@pytest.mark.parametrize("specks", [0, 40, 1000])
def test_flat_pictures_and_much_dust(specks: int) -> None:
    slope = np.broadcast_to(np.linspace(0.2, 0.8, 500, dtype=np.float32)[:, None], (400, 500, 3))
    for clean in (flat(), slope, picture("coffee")):
        taken = dust(clean.shape, specks)
        for bleed in (DYES, SILVER):
            found = find_damage(*scan(clean, taken, bleed=bleed))
            if bleed == DYES:
                assert not found.silver
                assert f1(found.mask, taken) > 0.93
            elif clean.std() == 0:
                # No picture, no silver.
                assert not found.silver


def test_sensitivity_is_how_much_light_counts() -> None:
    taken = np.zeros((300, 500), np.float32)
    shares = (0.04, 0.15, 0.5)
    for number, share in enumerate(shares):
        cv2.circle(taken, (100 + 150 * number, 150), 6, share, -1)
    infrared, pixels = scan(np.full((300, 500, 3), 0.5, np.float32), taken, noise=0.002)
    for sensitivity, expected in ((0, 1), (0.5, 2), (1, 3)):
        mask = find_damage(infrared, pixels, sensitivity).mask
        found = [bool(mask[150, 100 + 150 * number]) for number in range(3)]
        assert found == [number >= 3 - expected for number in range(3)]
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] - 1 == expected


@pytest.mark.parametrize("edge", [6, 25, 60])
def test_the_film_holder_is_no_damage(edge: int) -> None:
    clean = picture("astronaut")
    taken = dust(clean.shape)
    infrared, pixels = scan(clean, taken)
    film = np.s_[edge : 512 - edge, : 512 - edge]
    held, seen = np.full_like(infrared, 600), np.full_like(pixels, 600)
    held[film], seen[film] = infrared[film], pixels[film]
    mask = find_damage(held, seen).mask
    assert f1(mask[film], taken[film]) > 0.93
    mask[film] = False
    assert not mask.any()


def test_big_pieces_are_whole() -> None:
    taken = np.zeros((800, 1000), np.float32)
    cv2.circle(taken, (400, 300), 35, 0.8, -1)
    cv2.ellipse(taken, (700, 500), (90, 20), 30, 0, 360, 0.4, -1)
    mask = find_damage(*scan(np.full((800, 1000, 3), 0.4, np.float32), taken)).mask
    assert mask[taken > 0].all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (1, 300), (40, 3), (33, 65), (257, 90)])
def test_any_size(shape: tuple[int, int], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    infrared, pixels = (
        rng.integers(0, np.iinfo(dtype).max, wanted).astype(dtype)
        for wanted in (shape, (*shape, 3))
    )
    assert find_damage(infrared, pixels).mask.shape == shape
    for constant in (0, 200, np.iinfo(dtype).max):
        found = find_damage(np.full(shape, constant, dtype), pixels)
        assert not found.mask.any()
        assert not found.silver


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_alpha_and_layout_do_not_count(channels: int) -> None:
    taken = dust((200, 300))
    infrared, pixels = scan(picture("coffee")[:200, :300], taken)
    colour = pixels[..., :1] if channels < 3 else pixels
    alpha = np.random.default_rng(0).integers(0, 65536, (200, 300, 1)).astype(np.uint16)
    given = colour if channels % 2 else np.dstack([colour, alpha])
    expected = find_damage(infrared, colour).mask
    np.testing.assert_array_equal(find_damage(infrared[..., None], given).mask, expected)
    backwards = infrared[::-1, ::-1].copy()[::-1, ::-1]
    np.testing.assert_array_equal(find_damage(backwards, given).mask, expected)
    if channels == 1:
        np.testing.assert_array_equal(find_damage(infrared, given[..., 0]).mask, expected)


def test_wrong_calls() -> None:
    infrared, pixels = scan(flat())
    wrong: list[tuple[Any, ...]] = [
        (infrared.astype(np.float32), pixels),
        (infrared, pixels.astype(np.int32)),
        (infrared[:-1], pixels),
        (pixels, pixels),
        (infrared[:0], pixels[:0]),
        (None, pixels),
        (infrared, pixels, -0.1),
        (infrared, pixels, 1.1),
        (infrared, pixels, float("nan")),
    ]
    for arguments in wrong:
        with pytest.raises(UsageError) as caught:
            find_damage(*arguments)
        assert "\n" not in str(caught.value)
