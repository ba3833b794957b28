"""How long `inpaint restore` takes for many photos, by workers and threads.

    python benchmarks/workers.py --photos 12 --runs 3

Photos of a megapixel are made from the demo photos, enlarged, with 5 % scratches. Each run is a
whole process, reading, writing and loading the model included; the settings take turns, so that a
noisy machine slows all alike; medians are compared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inpaintcli import damage, photo
from inpaintcli import mask as masks
from inpaintcli.photo import Photo

ORIGINALS = Path(__file__).parent.parent / "assets" / "originals"
SIDE = 1000


def main(
    photos: Annotated[int, typer.Option(min=1, help="So many of a megapixel.")] = 12,
    runs: Annotated[int, typer.Option(min=1)] = 3,
    settings: Annotated[
        str, typer.Option(help="WORKERSxTHREADS, with commas; the default comes last.")
    ] = "1x1,1x2,2x1",
    find: Annotated[bool, typer.Option("--detect", help="Find the damage too.")] = False,
) -> None:
    """Print seconds a photo, and the ratio to the first setting."""
    options = {one: _options(one) for one in settings.split(",")} | {"default": []}
    seconds: dict[str, list[float]] = {name: [] for name in options}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, photos)
        how = [] if find else ["--mask", str(folder / "masks")]
        for _ in range(runs):
            for setting, words in options.items():
                command = [sys.executable, "-m", "inpaintcli", "restore", str(folder / "in"), *how,
                           "-o", str(folder / "out"), "--overwrite", "--quiet", *words]  # fmt: skip
                started = time.perf_counter()
                subprocess.run(command, check=True)
                seconds[setting].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    table = Table("workers x threads", "seconds (median)", "a photo", "spread", "ratio")
    for setting, values in seconds.items():
        median = medians[setting]
        table.add_row(
            setting, f"{median:.1f}", f"{median / photos:.2f}",
            f"{(max(values) - min(values)) / median:.0%}", f"{median / first:.2f}",
        )  # fmt: skip
    Console(highlight=False).print(f"{photos} photos of {SIDE}x{SIDE}, {runs} runs", table)


def _options(setting: str) -> list[str]:
    workers, threads = setting.split("x")
    return ["--workers", workers, "--threads", threads]


def make(folder: Path, photos: int) -> None:
    """Write so many damaged photos into `in`, and their masks into `masks`."""
    originals = sorted(path for path in ORIGINALS.iterdir() if photo.is_photo_name(path))
    for name in ("in", "masks"):
        (folder / name).mkdir()
    for number in range(photos):
        pixels = photo.read(originals[number % len(originals)]).colour
        enlarged = cv2.resize(np.ascontiguousarray(pixels), (SIDE, SIDE))
        large = np.asarray(enlarged, np.uint8).reshape(SIDE, SIDE, -1)
        damaged, mask = damage(large, "scratches", seed=number, coverage=0.05)
        photo.write(Photo(damaged), folder / f"in/{number:03d}.png")
        masks.write(mask, folder / f"masks/{number:03d}.png")


if __name__ == "__main__":
    typer.run(main)
