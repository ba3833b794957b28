"""The body of our own networks: a U-shape that works at half size and below.

Pixels are unshuffled 2x2 into channels (Shi et al. 2016, "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", read backwards): no
convolution works at full size, where it costs most. In the middle, at an eighth of the size,
dilated convolutions (Yu and Koltun 2016) look 100 px far.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.config import Network


class Block(nn.Module):
    """Two convolutions around which the features are carried (He et al. 2016)."""

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # Every block begins as no change: deep stacks without normalisation then train at once.
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.second(F.relu(self.first(features)))
        return features + changed


class HalfSizeUNet(nn.Module):
    """Encoder, dilated middle and decoder; skips are added, not concatenated: half the work.

    From (N, inputs, h, w) to (N, outputs, h, w), which begin as 0; h and w are multiples of
    `2 ** len(widths)`.
    """

    def __init__(self, sizes: Network, inputs: int, outputs: int):
        super().__init__()
        widths, depths = sizes.widths, sizes.depths
        middle = sizes.dilations or (1,) * depths[-1]
        self.stem = nn.Conv2d(4 * inputs, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths[:-1], depths[:-1], strict=True)
        )
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairwise(widths)
        )
        self.middle = nn.Sequential(*(Block(widths[-1], dilation) for dilation in middle))
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine * 4, 1) for fine, coarse in pairwise(widths))
        self.decoder = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths[:-1], depths[:-1], strict=True)
        )
        self.head = nn.Conv2d(widths[0], 4 * outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def body(self, picture: Tensor) -> Tensor:
        """What the network makes of its inputs."""
        features = self.stem(F.pixel_unshuffle(picture, 2))
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            features = blocks(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, blocks in zip(reversed(self.up), reversed(self.decoder), strict=True):
            features = blocks(F.pixel_shuffle(up(features), 2) + skips.pop())
        return F.pixel_shuffle(self.head(features), 2)


def with_picture(image: Tensor, other: Tensor) -> Tensor:
    """A picture in [0, 1], centred on 0, and a map of its size as one input (N, 4, h, w)."""
    return torch.cat([image - 0.5, other], 1)
