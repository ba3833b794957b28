"""The task of the inpainting networks: crops and their damage, the loss, and the scores."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inpaintcli.damage import draw_lines, draw_mask
from training import guess
from training.config import Config, Damage
from training.data import Pictures, spread
from training.masks import Sheets
from training.networks import multiple_of

Array = NDArray[np.uint8]

#: Validation damage is the same in every run, whatever its seed.
VALIDATION_SEED = 20_000
VALIDATION_PICTURES = 1_000
#: Side in pixels below which a patch is too small to learn from.
SMALLEST = 32


class Inpainting:
    """Fill damaged pixels; see `training.task.Task`."""

    score = "hole_psnr"
    unit = "dB"

    def __init__(
        self,
        train: Pictures,
        held_out: Pictures,
        config: Config,
        device: torch.device,
        sheets: Sheets | None = None,
    ):
        """`sheets`: damage by kind; without any, lines by the published recipe."""
        self.items = train.items
        self.config, self.device, self.sheets = config, device, sheets
        self.validation = validation_batches(spread(held_out, VALIDATION_PICTURES), config)

    def loss(
        self, network: nn.Module, chosen: NDArray[np.int64], rng: np.random.Generator
    ) -> Tensor:
        """The loss of one step on the `chosen` pictures."""
        items = [self.items[i] for i in chosen]
        images, masks = batch(items, self.config, rng, self.device, self.sheets)
        given = first_guess(network, images, masks, self.config, rng)
        network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            restored = network(given, masks)
        return restoration_loss(restored.float(), images, masks, self.config)

    def scores(self, network: nn.Module) -> dict[str, float]:
        """Hole PSNR in dB by kind of damage, and first their mean as `hole_psnr`."""
        found = {
            kind: hole_psnr(network, batches, self.device, self.config.guess)
            for kind, batches in self.validation.items()
        }
        mean = sum(found.values()) / len(found)
        return {self.score: mean, **(found if len(found) > 1 else {})}


def batch(
    items: list[Array],
    config: Config,
    rng: np.random.Generator,
    device: torch.device,
    sheets: Sheets | None = None,
) -> tuple[Tensor, Tensor]:
    """Random crops, half of them mirrored, each with damage of its own.

    Returns float pictures (N, 3, patch, patch) in [0, 1] and masks (N, 1, patch, patch).
    """
    side = config.patch
    images = np.empty((len(items), side, side, 3), np.uint8)
    for index, item in enumerate(items):
        cut = side
        if config.shrink_share and rng.random() < config.shrink_share:
            cut = int(rng.integers(side, min(2 * side, *item.shape[:2]) + 1))
        top = int(rng.integers(item.shape[0] - cut + 1))
        left = int(rng.integers(item.shape[1] - cut + 1))
        crop = item[top : top + cut, left : left + cut]
        if cut > side:
            crop = np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA))
        if config.grey_share and rng.random() < config.grey_share:
            crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        images[index] = crop[:, ::-1] if rng.random() < 0.5 else crop
    if sheets:
        masks = np.stack([sheets.crop(side, rng) for _ in items])
    else:
        masks = np.stack([patch_mask(side, config.damage, rng) for _ in items])
    return to_tensors(images, masks, device)


@torch.no_grad()
def first_guess(
    network: nn.Module, images: Tensor, masks: Tensor, config: Config, rng: np.random.Generator
) -> Tensor:
    """What the network is given: zeros for damaged pixels, or a first guess.

    At a share of the steps the guess is the network's own answer at half size, enlarged, as it will
    be at run time where damage is wide; and so may the guess be that it was given there.
    """
    if not config.guess:
        return images * (1 - masks)
    half = images.shape[2] // 2
    fits = half >= SMALLEST and half % multiple_of(config.network) == 0
    if not fits or rng.random() >= config.coarse_share:
        return guess.push_pull(images, masks)
    small, small_masks = guess.halved(images, masks)
    filled = first_guess(network, small, small_masks, config, rng)
    with torch.autocast(images.device.type, torch.bfloat16):
        restored = network(filled, small_masks)
    below = torch.where(small_masks > 0, restored.float(), small)
    return torch.where(masks > 0, guess.doubled(below, *images.shape[2:]), images)


def patch_mask(side: int, damage: Damage, rng: np.random.Generator) -> Array:
    """Damage of one training patch, uint8 (side, side), 1 = damaged."""
    canvas = np.zeros((side, side), np.uint8)
    if rng.random() < damage.wide_share:
        draw_lines(canvas, rng, damage.wide_count, damage.wide_thickness)
    else:
        draw_lines(canvas, rng, damage.count, damage.thickness)
    return canvas


def to_tensors(images: Array, masks: Array, device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 (N, h, w, 3) and (N, h, w) to float (N, 3, h, w) in [0, 1] and (N, 1, h, w)."""
    pictures = torch.from_numpy(images).to(device).float().div_(255).permute(0, 3, 1, 2)
    return (
        pictures.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(masks).to(device).float()[:, None],
    )


def restoration_loss(restored: Tensor, images: Tensor, masks: Tensor, config: Config) -> Tensor:
    """The error of damaged pixels, and with some weight of known ones; see `Config.loss`."""
    difference = restored - images
    if config.loss == "root":
        squares = (difference.square().mean(1, keepdim=True) * masks).sum((1, 2, 3))
        return (squares / masks.sum((1, 2, 3)).clamp(min=1) + 1e-5).sqrt().mean()
    error = (difference.abs() + config.square_weight * difference.square()).mean(1, keepdim=True)
    damaged = (error * masks).sum() / masks.sum().clamp(min=1)
    known = (error * (1 - masks)).sum() / (1 - masks).sum().clamp(min=1)
    return damaged + config.known_weight * known


def validation_batches(held_out: Pictures, config: Config) -> dict[str, list[tuple[Array, Array]]]:
    """Centre crops of the held-out pictures by kind of damage, drawn once.

    For the published recipe of lines crops are as large as the training's; for other kinds twice
    as large at most, so that a hole has surroundings.
    """
    rng = np.random.default_rng(VALIDATION_SEED)
    if not config.damage.kinds:
        published = replace(config.damage, wide_share=0.0)
        crops = [centre(item, config.patch) for item in held_out.items]
        masks = [patch_mask(config.patch, published, rng) for _ in crops]
        return {"lines": in_batches(crops, masks, 250)}
    side = min(2 * config.patch, min(min(item.shape[:2]) for item in held_out.items))
    side -= side % multiple_of(config.network)
    crops = [centre(item, side) for item in held_out.items]
    found = {}
    for kind in ("scratches", "strokes", "text", "holes"):
        masks = [draw_mask((side, side), rng, kind).astype(np.uint8) for _ in crops]
        found[kind] = in_batches(crops, masks, 9)
    return found


def centre(picture: Array, side: int) -> Array:
    """The middle of a picture, (side, side, 3)."""
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def in_batches(crops: list[Array], masks: list[Array], size: int) -> list[tuple[Array, Array]]:
    """Crops and masks, `size` at a time."""
    return [
        (np.stack(crops[i : i + size]), np.stack(masks[i : i + size]))
        for i in range(0, len(crops), size)
    ]


@torch.no_grad()
def hole_psnr(
    network: nn.Module,
    batches: list[tuple[Array, Array]],
    device: torch.device,
    guessed: bool = False,
) -> float:
    """Peak signal-to-noise ratio in dB, pooled over every damaged pixel, rounded to 8 bit."""
    network.eval()
    squares = pixels = 0.0
    for crops, holes in batches:
        images, masks = to_tensors(crops, holes, device)
        given = guess.push_pull(images, masks) if guessed else images * (1 - masks)
        restored = network(given, masks).clamp(0, 1).mul(255).round().div(255)
        squares += float(((restored - images).square() * masks).sum())
        pixels += float(masks.sum()) * 3
    return -10 * math.log10(max(squares / max(pixels, 1), 1e-10))
