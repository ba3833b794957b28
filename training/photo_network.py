"""The network of `--model photo`: a U-shape at half size that improves on a first guess.

The picture arrives with its damage already filled by a guess (`training.guess`), so that the
network only adds what the guess lacks: colours of flat areas are right from the first step, and
the head begins at zero.

Shapes: pictures float (N, 3, h, w) in [0, 1], masks float (N, 1, h, w), 1 = damaged; h and w are
multiples of `2 ** len(widths)`.
"""

from __future__ import annotations

from torch import Tensor

from training.config import Network
from training.half_size import HalfSizeUNet, with_picture


class PhotoNetwork(HalfSizeUNet):
    """Picture with a guess, and mask, to picture."""

    def __init__(self, sizes: Network):
        super().__init__(sizes, inputs=4, outputs=3)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image + self.body(with_picture(image, mask))
