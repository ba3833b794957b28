"""Models that were made for other programs: LaMa's and MI-GAN's public ONNX files.

Neither file says what it is, so its signature does. What the two expect was read in the models'
export scripts: https://github.com/Carve-Photos/lama (LaMa, Suvorov et al. 2022) and
https://github.com/Picsart-AI-Research/MI-GAN (MI-GAN, Sargsyan et al. 2023).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np

from inpaintcli.arrays import Floats
from inpaintcli.inpainters.base import Card, Inpainter
from inpaintcli.inpainters.signature import LAMA, MIGAN, fixed_side, result
from inpaintcli.runtime import Session

#: Both were published for pictures of this size.
TILE = 512
#: What a LaMa file is shown to see in which range it returns its values, in [0, 1].
GREY = 0.5
#: MI-GAN's pipeline leads over from the known pixels to its own within this many pixels of them,
#: inside the hole: 1 px by a maximum of 3x3 and 2 px by a Gaussian of 5x5.
SEAM = 3


class _OneByOne(ABC):
    """An inpainter of single pictures, as one of many.

    The files promise a free N, and their graphs break it: MI-GAN's looks for one box around all
    damage, LaMa's was traced with one picture. At 512 px a batch is no faster anyway.
    """

    def __init__(self, session: Session, card: Card):
        self.session = session
        self._card = card

    @property
    def card(self) -> Card:
        """What it was recognised as, and the tiles it needs."""
        return self._card

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda"."""
        return self.session.device

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        """See `Inpainter`; raises ModelError where the model returns something unusable."""
        restored = np.empty(images.shape, np.float32)
        for index in range(len(images)):
            one = slice(index, index + 1)
            restored[one] = self._restored(images[one], masks[one])
        return np.clip(restored, 0, 1, out=restored)

    @abstractmethod
    def _restored(self, image: Floats, mask: Floats) -> Floats:
        """One picture (1, 3, h, w), roughly in [0, 1]."""


class LamaInpainter(_OneByOne):
    """A LaMa export: as our own signature, but its result is in 0..255, or else in 0..1.

    Which of them no file says. Known pixels come back nearly unchanged, so a grey picture tells:
    it comes back as itself, or as 255 times itself (the middle is 16 times).
    """

    def __init__(self, session: Session):
        """Take over an open file of the signature `LAMA`.

        Runs it once; raises ModelError where it returns something unusable.
        """
        super().__init__(session, _card(session, "LaMa export, told by its inputs and output"))
        side = fixed_side(session) or TILE
        mask = np.zeros((1, 1, side, side), np.float32)
        mask[..., : side // 8, : side // 8] = 1
        image = np.repeat(GREY * (1 - mask), 3, 1)
        returned = result(session, {"image": image, "mask": mask})
        typical = float(np.median(returned[image > 0]))
        self._range = 255.0 if typical >= 16 * GREY else 1.0

    def _restored(self, image: Floats, mask: Floats) -> Floats:
        returned = result(self.session, {"image": image, "mask": mask})
        return np.asarray(returned / np.float32(self._range), np.float32)


class MiganInpainter(_OneByOne):
    """A MI-GAN pipeline export: 8 bit in and out, its mask 255 = known.

    The pipeline cuts out the surroundings of the damage and resizes them to 512 px. In tiles of
    that size it resizes nothing, and keeps the photo's detail.
    """

    def __init__(self, session: Session):
        """Take over an open file of the signature `MIGAN`."""
        summary = "MI-GAN pipeline, told by its inputs and output"
        super().__init__(session, _card(session, summary, eight_bit=True))

    def _restored(self, image: Floats, mask: Floats) -> Floats:
        # At the rim of a hole the pipeline mixes in what it was given there, which is black: with
        # the hole grown, that happens on known pixels, whose result nobody looks at.
        holes = (mask[0, 0] > 0.5).astype(np.uint8)
        grown = cv2.dilate(holes, np.ones((2 * SEAM + 1, 2 * SEAM + 1), np.uint8))
        known = np.asarray(255 * (1 - grown), np.uint8)[None, None]
        pixels = np.rint(image * 255).astype(np.uint8)
        returned = result(self.session, {"image": pixels, "mask": known})
        return np.asarray(returned / np.float32(255), np.float32)


def recognised(session: Session) -> Inpainter | None:
    """The inpainter for an open file that LaMa or MI-GAN was exported to; None for any other."""
    if LAMA.fits(session):
        return LamaInpainter(session)
    if MIGAN.fits(session):
        return MiganInpainter(session)
    return None


def _card(session: Session, summary: str, eight_bit: bool = False) -> Card:
    """The card of a file that has none. Tiles see no mirror image beyond the photo: these models
    know holes at a picture's edge, and each further tile costs seconds."""
    side = fixed_side(session)
    tile = side or TILE
    return Card(
        name=session.path.stem,
        summary=summary,
        tile=tile,
        overlap=tile // 4,
        fixed=side is not None,
        eight_bit=eight_bit,
        licence="",
        size=session.path.stat().st_size,
    )
