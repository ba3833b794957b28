"""Biharmonic filling: the smoothest surface through the rim, where scikit-image is installed."""

from __future__ import annotations

import importlib.util

import numpy as np

from inpaintcli.arrays import Floats
from inpaintcli.inpainters.base import Card


class BiharmonicInpainter:
    """Solves the biharmonic equation over the damage (Damelin and Hoang 2018, scikit-image)."""

    @property
    def card(self) -> Card:
        """What the method is and needs."""
        return CARD

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        """See `Inpainter`."""
        from skimage.restoration import inpaint_biharmonic

        restored = np.empty_like(images)
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            filled = inpaint_biharmonic(image, mask[0] > 0.5, channel_axis=0)
            restored[index] = np.clip(filled, 0, 1)
        return restored


CARD = Card(
    "biharmonic",
    "the smoothest surface through the rim (Damelin and Hoang 2018, scikit-image)",
    # The equation is solved for the damage of one tile at a time: over a whole large photo the
    # system of equations grows past any memory.
    tile=512,
    overlap=128,
    missing="" if importlib.util.find_spec("skimage") else "scikit-image",
)
