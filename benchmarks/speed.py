"""How long methods take to restore a photo, as ratios to OpenCV's Telea in the same run.

    python benchmarks/speed.py PHOTO --methods photo,biharmonic --coverage 0.05 --threads 2

Every method runs `--runs` times in turn with the others, so that a noisy machine slows all alike;
medians are compared. Reading and writing files is not counted, loading the model neither.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inpaintcli import load_model, photo, restore
from inpaintcli.damage import Kind, draw_mask, generator
from inpaintcli.errors import InpaintError
from inpaintcli.runtime import usable_cores

RADIUS = 3


def main(
    path: Annotated[Path, typer.Argument(metavar="PHOTO", help="Any photo.")],
    methods: Annotated[str, typer.Option(help="With commas between.")] = "photo,biharmonic",
    coverage: Annotated[float, typer.Option(help="Share of damaged pixels.")] = 0.05,
    tile: Annotated[str, typer.Option(help="Sides of tiles to try, with commas.")] = "",
    threads: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
    runs: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print seconds a megapixel and the ratio to Telea's."""
    kind: Kind = "scratches"
    try:
        pixels = photo.read(path).pixels
        names = methods.split(",")
        loaded = {name: load_model(name, device="cpu", threads=threads) for name in names}
    except InpaintError as error:
        raise SystemExit(f"{error}") from None
    pixels = np.ascontiguousarray(np.atleast_3d(pixels)[..., :3].astype(np.uint8))
    mask = draw_mask(pixels.shape[:2], generator(0), kind, coverage=coverage)
    cv2.setNumThreads(threads or usable_cores())
    flags = mask.astype(np.uint8)

    calls = {"telea": lambda: cv2.inpaint(pixels, flags, RADIUS, cv2.INPAINT_TELEA)}
    for name, inpainter in loaded.items():
        for side in tile.split(",") if inpainter.card.tile else [""]:
            calls[f"{name} {side}".strip()] = lambda i=inpainter, s=side: restore(
                pixels, mask, i, tile=int(s) if s else None, grain="off"
            )
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    megapixels = mask.size / 1e6
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table("method", "s/MP (median)", "spread", "times Telea")
    for name, values in seconds.items():
        spread = (max(values) - min(values)) / medians[name]
        table.add_row(
            name, f"{medians[name] / megapixels:.3f}", f"{spread:.0%}",
            f"{medians[name] / medians['telea']:.2f}",
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(f"{megapixels:.1f} MP, {mask.mean():.1%} damaged by {kind}, {runs} runs", table)


if __name__ == "__main__":
    typer.run(main)
