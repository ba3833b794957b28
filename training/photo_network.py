"""The network of `--model photo`: a U-shape at half size that improves on a first guess.

The picture arrives with its damage already filled by a guess (`training.guess`), so that the
network only adds what the guess lacks: colours of flat areas are right from the first step, and
the head begins at zero. Pixels are unshuffled 2x2 into channels (Shi et al. 2016, "Real-Time Single
Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", read
backwards): no convolution works at full size, where it costs most. In the middle, at an eighth of
the size, dilated convolutions (Yu and Koltun 2016) look 100 px far.

Shapes: pictures float (N, 3, h, w) in [0, 1], masks float (N, 1, h, w), 1 = damaged; h and w are
multiples of `2 ** len(widths)`.
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


class PhotoNetwork(nn.Module):
    """Encoder, dilated middle and decoder; skips are added, not concatenated: half the work."""

    def __init__(self, sizes: Network):
        super().__init__()
        widths, depths = sizes.widths, sizes.depths
        middle = sizes.dilations or (1,) * depths[-1]
        self.stem = nn.Conv2d(16, widths[0], 3, padding=1)
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
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        features = self.stem(F.pixel_unshuffle(torch.cat([image - 0.5, mask], 1), 2))
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            features = blocks(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, blocks in zip(reversed(self.up), reversed(self.decoder), strict=True):
            features = blocks(F.pixel_shuffle(up(features), 2) + skips.pop())
        return image + F.pixel_shuffle(self.head(features), 2)
