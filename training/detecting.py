"""The task of the detector: old-looking photographs under layers of damage, and what to find.

Labels: 1 where damage is visible, 0 where there is none, FAINT where it is there and hardly to be
seen; those pixels count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from inpaintcli.aging import VISIBLE, age
from inpaintcli.looks import is_pale, look_old, retoned, scanned
from training.config import Config
from training.data import Pictures, spread
from training.layers import Layer, Layers, place
from training.networks import multiple_of

Array = NDArray[np.uint8]

FAINT = 255
#: Validation pictures are the same in every run, whatever its seed.
VALIDATION_SEED = 30_000
VALIDATION_PICTURES = 96
VALIDATION_SIDE = 256
#: Share of the patches at an edge or corner of their photo, where much damage is.
AT_EDGES = 0.15
#: Pixels of the photo's mirror image that are seen beyond its edge, as at run time.
MARGIN = 16
#: Share of the grey photos that are scanned in grey.
GREY_SCANS = 0.7
#: Share of the damaged photos whose tone covers the damage too.
RETONED = 0.4
#: Weight of the coarser sizes' losses: they are there for the finest.
COARSER = 0.5
#: At a smaller size a pixel counts as damaged if this share of it is.
SHARE = 0.3


class Detecting:
    """Find damaged pixels; see `training.task.Task`."""

    score = "f1"
    unit = ""

    def __init__(
        self,
        train: Pictures,
        held_out: Pictures,
        config: Config,
        device: torch.device,
        layers: Layers,
    ):
        self.items = train.items
        self.config, self.device, self.layers = config, device, layers
        self.validation = validation_samples(
            spread(held_out, VALIDATION_PICTURES), 2 * multiple_of(config.network)
        )

    def loss(
        self, network: nn.Module, chosen: NDArray[np.int64], rng: np.random.Generator
    ) -> Tensor:
        """The loss of one step on the `chosen` pictures, over their sizes from coarse to fine."""
        samples = [self._sample(self.items[i], rng) for i in chosen]
        images, labels = to_tensors(samples, self.device)
        # Few photos are so small that there is no coarser size, and few are small enough for one.
        coarser = int(rng.choice(3, p=(0.15, 0.5, 0.35)))
        sizes = [(images, labels)]
        for times in range(1, coarser + 1):
            sizes.append((halved(sizes[-1][0]), coarse_labels(labels, 2**times)))
        coarse = torch.zeros_like(sizes[-1][0][:, :1])
        network.train()
        total = torch.zeros((), device=self.device)
        for image, label in reversed(sizes):
            with torch.autocast(self.device.type, torch.bfloat16):
                odds = network(image, coarse)
            odds = odds.float()
            weight = 1.0 if image is images else COARSER
            total = total + weight * detection_loss(odds, label)
            coarse = enlarged(odds.detach().sigmoid())
        return total

    def scores(self, network: nn.Module) -> dict[str, float]:
        """F1 at the best threshold, that threshold, ROC AUC, all in [0, 1]; pixel by pixel."""
        network.eval()
        damaged, sound = np.zeros(256), np.zeros(256)
        for image, label in self.validation:
            images, labels = to_tensors([(image, label)], self.device)
            found = (probability(network, images) * 255).round().to(torch.int64)
            damaged += np.bincount(found[labels == 1].cpu().numpy(), minlength=256)
            sound += np.bincount(found[labels == 0].cpu().numpy(), minlength=256)
        f1, threshold = best_f1(damaged, sound)
        return {self.score: f1, "threshold": threshold, "auc": auc(damaged, sound)}

    def _sample(self, picture: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """An old-looking patch under a layer of damage, and its labels; half of them mirrored."""
        side = self.config.patch
        edges = (0, 0)
        if rng.random() < AT_EDGES:
            edges = EDGES[int(rng.integers(len(EDGES)))]
        patch = cut(picture, side, rng, self.config.shrink_share, edges)
        if rng.random() < 0.85:
            patch = look_old(patch, rng).astype(np.uint8)
        layer = self.layers.crop(side, rng, edges)
        # In a grey photo scanned in grey the damage is grey too: colour must not give it away.
        if layer and is_grey(patch) and rng.random() < GREY_SCANS:
            layer = layer.greyed()
        sound = patch
        patch, label = damaged(patch, layer)
        # A print was toned or has yellowed with its damage; then colour does not give that away.
        if layer and rng.random() < RETONED:
            tone = partial(retoned, grey=is_pale(patch))
            patch, sound = alike(tone, patch, sound, rng)
        if rng.random() < 0.8:
            patch, sound = alike(scanned, patch, sound, rng)
        return beyond(patch, seen(label, patch, sound), edges)


#: The sides and corners of a photo, down and across: see `Layers.crop`.
EDGES = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0)]


def beyond(patch: Array, label: Array, edges: tuple[int, int]) -> tuple[Array, Array]:
    """A patch at an edge of its photo moved so that `MARGIN` pixels of mirror image lie beyond, or
    a quarter of it if that is less.

    Nothing is to be found there: the label is FAINT.
    """
    margin = min(MARGIN, min(label.shape) // 4)
    margins = [(margin * (edge < 0), margin * (edge > 0)) for edge in edges]
    height, width = label.shape
    # As much as is put on at one side is cut off at the other.
    window = tuple(
        slice(last, side - first)
        for (first, last), side in zip(margins, (height, width), strict=True)
    )
    return (
        np.pad(patch[window], (*margins, (0, 0)), "symmetric"),
        np.pad(label[window], margins, constant_values=FAINT),
    )


def cut(
    picture: Array,
    side: int,
    rng: np.random.Generator,
    resized: float,
    edges: tuple[int, int] = (0, 0),
) -> Array:
    """A square patch from anywhere, or at the given `edges` (see `Layers.crop`); a share `resized`
    of them larger or smaller than in life."""
    size = side
    if rng.random() < resized:
        size = int(side * np.exp(rng.uniform(np.log(0.5), np.log(2.0))))
    size = min(size, *picture.shape[:2])
    top, left = (
        place(edge, length - size, rng)
        for edge, length in zip(edges, picture.shape[:2], strict=True)
    )
    patch = picture[top : top + size, left : left + size]
    if size != side:
        way = cv2.INTER_AREA if size > side else cv2.INTER_CUBIC
        patch = np.asarray(cv2.resize(patch, (side, side), interpolation=way), np.uint8)
    # Mirrored, the first edge would be the last.
    return patch[:, ::-1] if rng.random() < 0.5 and not edges[1] else patch


def alike(
    change: Callable[[Array, np.random.Generator], Array],
    damaged: Array,
    sound: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """The same change, drawn once, of a damaged photo and of what it was before."""
    seed = int(rng.integers(2**32))
    changed, before = (change(p, np.random.default_rng(seed)) for p in (damaged, sound))
    return changed, before


def seen(label: Array, damaged: Array, sound: Array) -> Array:
    """Labels (h, w) after what the photo went through since it was damaged.

    damaged, sound: uint8 (h, w, 3), the same photo with its damage and without it. Where a blurred
    or repacked scratch differs by less than `VISIBLE` by now, it is FAINT; and so is what it was
    blurred into.
    """
    visible = (cv2.absdiff(damaged, sound) >= VISIBLE * 255).any(2)
    return np.where(visible == (label == 1), label, np.uint8(FAINT))


def is_grey(picture: Array) -> bool:
    """True where the three channels of (h, w, 3) are equal."""
    return bool((picture == picture[..., :1]).all())


def damaged(patch: Array, layer: Layer | None) -> tuple[Array, Array]:
    """A uint8 (h, w, 3) patch under a layer, and its labels, uint8 (h, w)."""
    if layer is None:
        return patch, np.zeros(patch.shape[:2], np.uint8)
    before = patch.astype(np.float32) / np.float32(255)
    after = layer.over(before)
    label = np.where(layer.opacity[..., 0] > 4, np.uint8(FAINT), np.uint8(0))
    label[(np.abs(after - before) >= VISIBLE).any(2)] = 1
    return np.rint(np.clip(after, 0, 1) * 255).astype(np.uint8), label


def to_tensors(samples: list[tuple[Array, Array]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, h, w) in [0, 1] and labels (N, 1, h, w), uint8."""
    images = np.stack([image for image, _ in samples])
    labels = np.stack([label for _, label in samples])
    pictures = torch.from_numpy(images).to(device).float().div_(255).permute(0, 3, 1, 2)
    return (
        pictures.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(labels).to(device)[:, None],
    )


def halved(images: Tensor) -> Tensor:
    """Pictures at half size."""
    return F.avg_pool2d(images, 2).contiguous(memory_format=torch.channels_last)


def coarse_labels(labels: Tensor, times: int) -> Tensor:
    """Labels at a size smaller by so many times.

    A pixel is damaged if a share of `SHARE` of it is. With less it is FAINT: a thin scratch fades
    as the photo shrinks, and nobody could find it there.
    """
    share = F.avg_pool2d((labels == 1).float(), times)
    faint = F.max_pool2d((labels == FAINT).float(), times)
    small = torch.full_like(share, FAINT, dtype=torch.uint8)
    small[(share == 0) & (faint == 0)] = 0
    small[share >= SHARE] = 1
    return small


def enlarged(coarse: Tensor) -> Tensor:
    """A probability at twice its size, bilinear, as at run time."""
    return F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)


def detection_loss(odds: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy plus a quarter of 1 - Dice (Milletari et al. 2016), over all pixels that
    count."""
    counts = (labels != FAINT).float()
    wanted = (labels == 1).float()
    entropy = F.binary_cross_entropy_with_logits(odds, wanted, counts, reduction="sum")
    chance = odds.sigmoid() * counts
    dice = (2 * (chance * wanted).sum() + 1) / (chance.sum() + wanted.sum() + 1)
    return entropy / counts.sum().clamp(min=1) + 0.25 * (1 - dice)


@torch.no_grad()
def probability(network: nn.Module, images: Tensor, levels: int = 2) -> Tensor:
    """The probability of damage, (N, 1, h, w), from `levels` sizes."""
    if levels > 1:
        coarse = enlarged(probability(network, F.avg_pool2d(images, 2), levels - 1))
    else:
        coarse = torch.zeros_like(images[:, :1])
    found: Tensor = network(images, coarse).sigmoid()
    return found


def validation_samples(held_out: Pictures, multiple: int = 16) -> list[tuple[Array, Array]]:
    """Aged, old-looking centres of held-out pictures, drawn once; every sixth is undamaged.

    Their sides are multiples of `multiple`.
    """
    rng = np.random.default_rng(VALIDATION_SEED)
    samples = []
    for index, item in enumerate(held_out.items):
        height, width = (side - side % multiple for side in item.shape[:2])
        side = min(VALIDATION_SIDE, height, width)
        top, left = (item.shape[0] - side) // 2, (item.shape[1] - side) // 2
        sound = look_old(item[top : top + side, left : left + side], rng).astype(np.uint8)
        label = np.zeros((side, side), np.uint8)
        picture = sound
        if index % 6:
            picture, label = aged(sound, rng)
        picture, sound = alike(scanned, picture, sound, rng)
        samples.append((picture, seen(label, picture, sound)))
    return samples


def aged(
    sound: Array, rng: np.random.Generator, kinds: Collection[str] | None = None
) -> tuple[Array, Array]:
    """A uint8 (h, w, 3) photo with damage of `inpaintcli.aging`, and its labels, uint8 (h, w)."""
    grey = is_grey(sound) and rng.random() < GREY_SCANS
    damaged, mask = age(sound[..., :1] if grey else sound, rng, kinds=kinds)
    picture = np.broadcast_to(damaged, sound.shape).astype(np.uint8)
    label = np.zeros(sound.shape[:2], np.uint8)
    label[(picture != sound).any(2)] = FAINT
    label[mask] = 1
    return picture, label


def best_f1(damaged: NDArray[np.float64], sound: NDArray[np.float64]) -> tuple[float, float]:
    """(F1, threshold) at the best threshold, from how many pixels of either kind have each of 256
    probabilities; a pixel is called damaged from the threshold on."""
    right = np.cumsum(damaged[::-1])[::-1]
    wrong = np.cumsum(sound[::-1])[::-1]
    f1 = 2 * right / np.maximum(right + wrong + damaged.sum(), 1)
    best = int(f1.argmax())
    return float(f1[best]), best / 255


def auc(damaged: NDArray[np.float64], sound: NDArray[np.float64]) -> float:
    """Area under the ROC curve, from the same counts: the chance that a damaged pixel is given a
    higher probability than a sound one, ties counted half."""
    below = np.cumsum(sound) - sound / 2
    return float((damaged * below).sum() / max(damaged.sum() * sound.sum(), 1))
