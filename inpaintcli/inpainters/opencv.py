"""OpenCV's two classical methods. They compute in 8 bit and take a photo whole."""

from __future__ import annotations

import cv2
import numpy as np

from inpaintcli.arrays import Floats
from inpaintcli.inpainters.base import Card

#: Radius in pixels of the neighbourhood that a filled pixel is computed from.
RADIUS = 3


class OpenCvInpainter:
    """`cv2.inpaint` behind the protocol of all methods."""

    def __init__(self, card: Card, flag: int):
        self._card = card
        self._flag = flag

    @property
    def card(self) -> Card:
        """What the method is and needs."""
        return self._card

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        """See `Inpainter`; values are rounded to 8 bit."""
        restored = np.empty_like(images)
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            pixels = np.ascontiguousarray(np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8))
            holes = (mask[0] > 0.5).astype(np.uint8)
            filled = np.asarray(cv2.inpaint(pixels, holes, RADIUS, self._flag))
            restored[index] = filled.transpose(2, 0, 1)
        restored /= 255
        return restored


def telea() -> OpenCvInpainter:
    """The fast marching method (Telea 2004)."""
    summary = "fast marching from the rim inwards (Telea 2004, OpenCV)"
    return OpenCvInpainter(Card("telea", summary, eight_bit=True), cv2.INPAINT_TELEA)


def navier_stokes() -> OpenCvInpainter:
    """Isophotes continued as a fluid flows (Bertalmio et al. 2001)."""
    summary = "continues lines of equal brightness (Bertalmio et al. 2001, OpenCV)"
    return OpenCvInpainter(Card("navier-stokes", summary, eight_bit=True), cv2.INPAINT_NS)
