"""The first guess that a network with `guess` improves on, as `inpaintcli.filling` makes it.

The picture is halved again and again, each pixel the mean of its known ones, until none is
missing; then it is doubled back, level by level, and fills what is missing there (push-pull:
Gortler et al. 1996, "The Lumigraph"). Here on batches of tensors, there on one photo.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def halved(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, h, w) and masks (N, 1, h, w) at half size; odd sides are rounded up."""
    known = 1 - masks
    odd = (0, images.shape[3] % 2, 0, images.shape[2] % 2)
    share = F.avg_pool2d(F.pad(known, odd), 2)
    sums = F.avg_pool2d(F.pad(images * known, odd), 2)
    return sums / share.clamp(min=1e-3), (share == 0).to(masks.dtype)


def doubled(images: Tensor, height: int, width: int) -> Tensor:
    """Pictures at twice their size, bilinear, cut to (height, width)."""
    large = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    return large[:, :, :height, :width]


def push_pull(images: Tensor, masks: Tensor) -> Tensor:
    """The pictures with their damaged pixels filled from coarser levels; known ones as they are."""
    # One pixel, and damaged: of that picture nothing is known at all, and it stays black.
    if not bool(masks.any()) or images.shape[2:] == (1, 1):
        return images
    below = push_pull(*halved(images, masks))
    return torch.where(masks > 0, doubled(below, *images.shape[2:]), images)
