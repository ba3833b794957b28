"""Patch-based filling: copies of patches that fit, from elsewhere in the photo (package
pypatchmatch)."""

from __future__ import annotations

import importlib.util

import numpy as np

from inpaintcli.arrays import Floats
from inpaintcli.errors import ModelError
from inpaintcli.inpainters.base import Card

PACKAGE = "pypatchmatch"
#: Radius of the compared patches. Of 1, 2, 3 and 5 it measures best over strokes, text and holes
#: together; scratches do not care.
PATCH_RADIUS = 3


class PatchMatchInpainter:
    """PatchMatch (Barnes et al. 2009) with the settings that measure best; computes in 8 bit."""

    def __init__(self) -> None:
        self._card = CARD

    @property
    def card(self) -> Card:
        """What the method is and needs."""
        return self._card

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        """See `Inpainter`; values are rounded to 8 bit. Equal inputs give equal results."""
        import patchmatch

        if not patchmatch.patchmatch_available:
            raise ModelError(
                "patchmatch: the library of pypatchmatch does not load on this machine: "
                "install it anew, or choose another --model"
            )
        restored = np.empty_like(images)
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            pixels = np.ascontiguousarray(np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8))
            filled = patchmatch.inpaint(pixels, mask[0] > 0.5, patch_size=PATCH_RADIUS)
            restored[index] = filled.transpose(2, 0, 1)
        restored /= 255
        return restored


CARD = Card(
    "patchmatch",
    "copies fitting patches from elsewhere in the photo (Barnes et al. 2009, pypatchmatch)",
    eight_bit=True,
    missing="" if importlib.util.find_spec("patchmatch") else PACKAGE,
)
