"""The network that finds damage: a U-shape at half size, from coarse to fine.

At each size of a photo it is given the picture and what it found at half that size: what is wide
or reaches across the picture is seen there, and sharpened here.

Shapes: pictures float (N, 3, h, w) in [0, 1]; coarse float (N, 1, h, w) in [0, 1], the probability
of damage found at half size and enlarged, 0 where there is none; h and w are multiples of
`2 ** len(widths)`.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.config import Network
from training.half_size import HalfSizeUNet, with_picture

#: Log odds of damage to begin with: about one pixel in twenty.
RARE = -3.0


class DetectorNetwork(HalfSizeUNet):
    """Picture and coarse probability to log odds of damage, (N, 1, h, w)."""

    def __init__(self, sizes: Network):
        super().__init__(sizes, inputs=4, outputs=1)
        nn.init.constant_(self.head.bias, RARE)  # type: ignore[arg-type]

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        return self.body(with_picture(image, coarse))
