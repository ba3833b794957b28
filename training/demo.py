"""Make the demo photos and the picture at the top of the README from `assets/originals`.

    python -m training.demo

Damages every original as `inpaint damage` does, restores it with the default model, and writes
`damaged/NAME.png`, `masks/NAME.png` and the strip `before-mask-after.png` into `assets/demo`. Then
makes them look old and ages them, finds the damage without a mask, restores it, and writes
`aged/NAME.png` and the strip `before-found-after.png`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inpaintcli import detect, photo, restore
from inpaintcli import mask as masks
from inpaintcli.damage import Kind, damage, old_looking
from inpaintcli.files import write_whole
from inpaintcli.photo import Photo
from training.grids import grid, png

ASSETS = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True)
class Demo:
    """One demo photo: its damage, and the corner of the square that the strip shows."""

    original: str
    kind: Kind
    seed: int
    corner: tuple[int, int]
    #: The seed of its age, in the second strip.
    aged: int = 2


DEMOS = (
    Demo("astronaut.png", "scratches", 11, (0, 96), 7),
    Demo("rocket.jpg", "text", 5, (100, 200)),
    Demo("chelsea.png", "holes", 3, (0, 80)),
)
SIDE = 300


def main() -> None:
    """Write everything anew."""
    strips = []
    for demo in DEMOS:
        original = photo.read(ASSETS / "originals" / demo.original)
        name = Path(demo.original).stem
        damaged, mask = damage(original.pixels, demo.kind, seed=demo.seed, name=name)
        folder = ASSETS / "demo"
        for part in ("damaged", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        photo.write(Photo(damaged), folder / "damaged" / f"{name}.png")
        masks.write(mask, folder / "masks" / f"{name}.png")
        restored = restore(damaged, mask)
        white = np.repeat(mask[..., None] * np.uint8(255), 3, 2)
        top, left = demo.corner
        corner = np.s_[top : top + SIDE, left : left + SIDE]
        strips.append([np.asarray(p[corner], np.uint8) for p in (damaged, white, restored)])
    columns = zip(("before", "mask", "after"), zip(*strips, strict=True), strict=True)
    strip = grid([(heading, np.stack(pictures)) for heading, pictures in columns], enlarge=1)
    write_whole(ASSETS / "demo" / "before-mask-after.png", png(strip))
    write_whole(ASSETS / "demo" / "before-found-after.png", png(found()))


def found() -> np.ndarray:
    """The strip of aged photos that are restored without a mask; writes the aged photos too."""
    strips = []
    for demo in DEMOS:
        original = photo.read(ASSETS / "originals" / demo.original)
        name = Path(demo.original).stem
        old = old_looking(original.pixels, seed=demo.aged, name=name)
        aged, _ = damage(old, "aged", seed=demo.aged, name=name)
        photo.make_folder(ASSETS / "demo" / "aged")
        photo.write(Photo(aged), ASSETS / "demo" / "aged" / f"{name}.png")
        mask = detect(aged)
        shown = (aged, masks.overlay(aged, mask), restore(aged, mask))
        top, left = demo.corner
        corner = np.s_[top : top + SIDE, left : left + SIDE]
        strips.append([np.asarray(picture[corner], np.uint8) for picture in shown])
    columns = zip(("before", "found", "after"), zip(*strips, strict=True), strict=True)
    return grid([(heading, np.stack(pictures)) for heading, pictures in columns], enlarge=1)


if __name__ == "__main__":
    main()
