"""How long methods take to restore a photo, as ratios to OpenCV's Telea in the same run.

    python benchmarks/speed.py PHOTO --methods photo,biharmonic --coverage 0.05 --threads 2 --detect

Every method runs `--runs` times in turn with the others, so that a noisy machine slows all alike;
medians are compared. Reading and writing files is not counted, loading the model neither. Photos of
16 bit are brought to 8, which is what Telea takes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inpaintcli import load_model, photo, restore
from inpaintcli.arrays import Pixels
from inpaintcli.damage import Kind, draw_mask, generator
from inpaintcli.detect import detect, load_detector
from inpaintcli.errors import InpaintError, UsageError
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.restore import tiles_of
from inpaintcli.runtime import usable_cores

RADIUS = 3


def main(
    path: Annotated[Path, typer.Argument(metavar="PHOTO", help="Any photo.")],
    methods: Annotated[str, typer.Option(help="With commas between.")] = "photo,biharmonic",
    coverage: Annotated[float, typer.Option(help="Share of damaged pixels.")] = 0.05,
    tile: Annotated[str, typer.Option(help="Sides of tiles to try, with commas.")] = "",
    threads: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
    runs: Annotated[int, typer.Option(min=1)] = 5,
    find: Annotated[
        bool, typer.Option("--detect", help="Also how long it takes to find damage.")
    ] = False,
) -> None:
    """Print seconds a megapixel and the ratio to Telea's."""
    kind: Kind = "scratches"
    try:
        pixels = photo.read(path).pixels
        pixels = _eight_bit(pixels)
        mask = draw_mask((pixels.shape[0], pixels.shape[1]), generator(0), kind, coverage=coverage)
        sides = _sides(tile)
        names = methods.split(",")
        loaded = {name: load_model(name, device="cpu", threads=threads) for name in names}
        tiles = {name: sides if one.card.tile else [None] for name, one in loaded.items()}
        detector = load_detector(device="cpu", threads=threads) if find else None
        for name, inpainter in loaded.items():
            for side in tiles[name]:
                tiles_of(inpainter.card, side, None, None)
    except InpaintError as error:
        print(f"speed.py: {error}", file=sys.stderr)
        raise SystemExit(int(error.exit_code)) from None
    cv2.setNumThreads(threads or usable_cores())
    flags = mask.astype(np.uint8)

    def call(inpainter: Inpainter, side: int | None) -> Callable[[], object]:
        return lambda: restore(pixels, mask, inpainter, tile=side, grain="off")

    calls: dict[str, Callable[[], object]] = {
        "telea": lambda: cv2.inpaint(pixels, flags, RADIUS, cv2.INPAINT_TELEA)
    }
    for name, inpainter in loaded.items():
        for side in tiles[name]:
            calls[f"{name} {side or ''}".strip()] = call(inpainter, side)
    if detector:
        calls["detect"] = lambda: detect(pixels, detector)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, once in calls.items():
            started = time.perf_counter()
            once()
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


def _sides(text: str) -> list[int | None]:
    """The sides of tiles in a list with commas; [None], the card's own, for an empty one.

    Raises UsageError for what is no number.
    """
    try:
        return [int(side) for side in text.split(",")] if text else [None]
    except ValueError:
        raise UsageError(
            f"--tile {text}: give numbers with commas between, such as 256,512"
        ) from None


def _eight_bit(pixels: Pixels) -> Pixels:
    """Pixels (h, w) or (h, w, c) as uint8 (h, w, 1 or 3), without alpha."""
    planes = np.atleast_3d(pixels)
    planes = planes[..., : 3 if planes.shape[2] >= 3 else 1]
    if planes.dtype == np.uint16:
        planes = np.rint(planes / np.float32(257))
    return np.ascontiguousarray(planes, np.uint8)


if __name__ == "__main__":
    typer.run(main)
