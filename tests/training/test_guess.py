"""The first guess in training: a loop's, the program's own, and never a look under the damage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Pixels
from inpaintcli.filling import fill
from inpaintcli.inpainters.base import Card
from tests.helpers import Depth
from training.guess import doubled, halved, push_pull

Array = NDArray[np.float64]

SIZES = [(8, 8), (7, 11), (1, 5), (33, 20), (40, 57)]


def naive(picture: Array, mask: Array) -> Array:
    """Push-pull of one picture (h, w, 3), pixel by pixel."""
    if not mask.any():
        return picture
    height, width = mask.shape
    rows, columns = -(-height // 2), -(-width // 2)
    small, small_mask = np.zeros((rows, columns, 3)), np.ones((rows, columns))
    for row, column in product(range(rows), range(columns)):
        known = [
            picture[y, x]
            for y, x in product((2 * row, 2 * row + 1), (2 * column, 2 * column + 1))
            if y < height and x < width and not mask[y, x]
        ]
        if known:
            small[row, column], small_mask[row, column] = np.mean(known, 0), 0
    below = naive(small, small_mask)
    filled = picture.copy()
    for y, x in zip(*np.nonzero(mask), strict=True):
        # The centre of a pixel lies a quarter of a coarse one from the coarse centre.
        down, right = max(0.0, y / 2 - 0.25), max(0.0, x / 2 - 0.25)
        top, left = int(down), int(right)
        value = np.zeros(3)
        for dy, dx in product((0, 1), (0, 1)):
            weight = (down - top if dy else 1 - down + top) * (
                right - left if dx else 1 - right + left
            )
            value += weight * below[min(top + dy, rows - 1), min(left + dx, columns - 1)]
        filled[y, x] = value
    return filled


def damaged(height: int, width: int, seed: int = 0) -> tuple[Array, Array]:
    """A random picture whose upper left part is damaged as a whole, and much of the rest."""
    rng = np.random.default_rng([seed, height, width])
    mask = (rng.random((height, width)) < 0.4).astype(float)
    mask[: (height + 1) // 2, : width // 2] = 1
    mask[-1, -1] = 0
    return rng.random((height, width, 3)), mask


def tensors(picture: Array, mask: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """The two as a batch of one."""
    return torch.from_numpy(picture.transpose(2, 0, 1)[None]), torch.from_numpy(mask[None, None])


@pytest.mark.parametrize("size", SIZES)
def test_push_pull_is_that_of_a_loop(size: tuple[int, int]) -> None:
    picture, mask = damaged(*size)
    filled = push_pull(*tensors(picture, mask))[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(filled, naive(picture, mask), rtol=0, atol=1e-9)
    assert (filled[mask == 0] == picture[mask == 0]).all()


class Same:
    """An inpainter that returns what it is given: what is left is the guess alone."""

    def __init__(self, tile: int | None):
        self.card = Card("same", "", tile=tile, overlap=4, margin=3, multiple=8, reach=3,
                         prior=True)  # fmt: skip

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        return images.copy()


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", SIZES[1:])
def test_push_pull_is_what_the_program_fills_with(
    size: tuple[int, int], depth: type[Depth], tile: int | None
) -> None:
    picture, mask = damaged(*size)
    top = np.iinfo(depth).max
    pixels: Pixels = np.rint(picture * top).astype(depth)
    guess = push_pull(*tensors(pixels / top, mask))[0].numpy().transpose(1, 2, 0)
    fill(pixels, mask > 0, Same(tile), tile, 4)
    # Half a step of 8 bit from rounding the result, and a little of 16 bit from each level.
    assert np.abs(pixels / top - guess).max() < 0.6 / 255


def test_one_known_pixel_fills_the_picture() -> None:
    mask = np.ones((13, 9))
    mask[4, 7] = 0
    picture = np.random.default_rng(0).random((13, 9, 3))
    filled = push_pull(*tensors(picture, mask))[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(filled, np.broadcast_to(picture[4, 7], filled.shape), atol=1e-12)


def test_pictures_of_a_batch_do_not_meet() -> None:
    pairs = [tensors(*damaged(24, 24, seed)) for seed in range(3)]
    # Of the last picture nothing is known at all.
    pairs.append((torch.rand(1, 3, 24, 24, dtype=torch.float64), torch.ones(1, 1, 24, 24).double()))
    images, masks = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    together = push_pull(images, masks)
    for index, pair in enumerate(pairs):
        torch.testing.assert_close(together[index : index + 1], push_pull(*pair))
    assert together[:3].min() > 0
    assert not together[3].any()


def test_what_lies_under_the_damage_is_never_seen() -> None:
    image, mask = tensors(*damaged(20, 31))
    other = torch.where(mask > 0, torch.rand_like(image), image)
    assert torch.equal(push_pull(image, mask), push_pull(other, mask))
    assert torch.equal(push_pull(other, torch.zeros_like(mask)), other)


def test_half_the_size_and_back() -> None:
    image = torch.full((1, 3, 7, 9), 0.3)
    small, small_mask = halved(image, torch.zeros(1, 1, 7, 9))
    assert small.shape == (1, 3, 4, 5)
    assert not small_mask.any()
    torch.testing.assert_close(small, torch.full((1, 3, 4, 5), 0.3))
    torch.testing.assert_close(doubled(small, 7, 9), image)
