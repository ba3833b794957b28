"""Measure by how many pixels a found mask is best widened: by what a restore leaves behind.

    python -m training.growth --data cbsd68.tar

Photographs are made to look old and damaged, as for `training.detection`. The detector finds the
damage, `inpaint`'s default method fills it, and PSNR is measured over all that lies within 8 px of
any damage, however faint: too little growth leaves the soft edges of scratches, too much fills
pixels that were sound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inpaintcli.aging import age
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.detect import DETECTOR, LEAST_AREA, load_detector, probability, to_mask
from inpaintcli.errors import InpaintError
from inpaintcli.inpainters.registry import DEFAULT, load_model
from inpaintcli.looks import look_old
from inpaintcli.mask import MaskTools, grow
from inpaintcli.metrics import intensities, psnr
from inpaintcli.restore import restore
from training.data import DataError, load, spread

#: Pixels around damage over which what is left of it is measured.
AROUND = 8


def main(
    data: Annotated[Path, typer.Option(help="Undamaged photographs: a folder, or a tar of one.")],
    detector: Annotated[Path, typer.Option(help="The model file.")] = DETECTOR,
    model: Annotated[str, typer.Option(help="What fills the damage.")] = DEFAULT,
    most: Annotated[int, typer.Option(min=0, help="Try 0 to N px.")] = 5,
    limit: Annotated[int, typer.Option(min=1, help="Photographs.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the damage.")] = 0,
) -> None:
    """Print the mean PSNR by growth."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        finder = load_detector(detector, device="cpu")
        inpainter = load_model(model, device="cpu")
        photos = load(data, "test")
    except (DataError, InpaintError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    left: dict[str, list[float]] = {}
    for index, item in enumerate(spread(photos, limit).items):
        rng = np.random.default_rng([seed, 11, index])
        sound = look_old(item, rng)
        damaged, mask = age(sound, rng)
        near = grow((damaged != sound).any(2), AROUND)
        found = to_mask(probability(damaged, finder), finder.card.threshold)

        scores = {"damaged": _left(damaged, sound, near)}
        for pixels in range(most + 1):
            for name, source, least in (("found", found, LEAST_AREA), ("true", mask, 0)):
                wide = MaskTools(min_area=least, grow=pixels).apply(source)
                filled = restore(damaged, wide, inpainter, grain="off") if wide.any() else damaged
                scores[f"{name} mask, grown by {pixels} px"] = _left(filled, sound, near)
        for name, score in scores.items():
            left.setdefault(name, []).append(score)
    table = Table("mask", "PSNR within 8 px of damage (dB)")
    for name, values in sorted(left.items()):
        table.add_row(name, f"{float(np.mean(values)):.2f}")
    stdout = Console(soft_wrap=True, highlight=False)
    stdout.print(f"{len(left['damaged'])} photographs of {photos.origin}", table, sep="\n")


def _left(restored: Pixels, sound: Pixels, near: Mask) -> float:
    return psnr(intensities(restored), intensities(sound), near)


if __name__ == "__main__":
    typer.run(main)
