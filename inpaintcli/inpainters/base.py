"""What every inpainting method is to the rest of the program: a card and a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from inpaintcli.arrays import Floats


@dataclass(frozen=True)
class Card:
    """What a method is and what it needs; callers look here and special-case nothing."""

    #: The name that `--model` takes.
    name: str
    #: One line on how it works.
    summary: str
    #: Longest side in pixels of the rectangles that it is run on; None takes the photo whole.
    tile: int | None = None
    #: True if it takes squares of exactly `tile` px and nothing else.
    fixed: bool = False
    #: Shortest side in pixels of those rectangles, about that of the patches it was trained on: a
    #: small photo is cut into no smaller ones. None makes all of them squares of `tile` px.
    patch: int | None = None
    #: Pixels by which neighbouring tiles overlap.
    overlap: int = 0
    #: Pixels of the photo's mirror image that tiles see beyond its edge.
    margin: int = 0
    #: Height and width of its input must be multiples of this; 1 for a method
    #: that takes a photo whole.
    multiple: int = 1
    #: Farthest distance in pixels from a known pixel that it fills well in one go; damage that
    #: reaches deeper is filled coarse to fine. None where the method handles any depth itself.
    reach: int | None = None
    #: True if damaged pixels are to arrive filled with a first guess, False if as 0.
    prior: bool = False
    #: True if wide fills are to take over the texture of what surrounds them.
    texture: bool = False
    #: True if it computes in 8 bit, whatever the depth of the photo.
    eight_bit: bool = False
    #: What it was trained on, and the terms of that data; empty for methods without training.
    trained_on: str = ""
    data_licence: str = ""
    licence: str = "MIT"
    version: str = ""
    #: Measured scores by name, for example {"hole_psnr": 23.1} in dB.
    scores: dict[str, float] = field(default_factory=dict)
    #: Size of its file in bytes; 0 for methods without one.
    size: int = 0
    #: The name of the package to install where the method is not available; empty if it is.
    missing: str = ""


class Inpainter(Protocol):
    """Fills damaged pixels.

    Called with `images` float32 (N, 3, h, w) in [0, 1], whose damaged pixels are 0, or a first
    guess where the card says `prior`, and `masks` float32 (N, 1, h, w), 1 = damaged; returns
    float32 (N, 3, h, w) in [0, 1]. Only its damaged pixels are used.
    """

    @property
    def card(self) -> Card:
        """What the method is and needs."""
        ...

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        """The restored pictures."""
        ...
