"""How many megapixels a second are restored and searched for damage on a GPU, and how much of that
time is spent in ONNX Runtime: copies to and from the GPU and the planning of convolutions, which
are the CPU's, are in it. In the rest of the time the GPU waits.

    python benchmarks/gpu.py --megapixels 1,12,100 --runs 3 --device cuda:1

Photos are made of squares of a megapixel of one demo photo with 5 % scratches. Reading and writing
files is not counted, loading the networks neither. The first run of a size is told apart: in it
memory of the GPU is taken and its code loaded. `--device cpu` runs the same files, in
float, to compare with.
"""

from __future__ import annotations

import functools
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inpaintcli import damage, photo, restore
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.detect import Detector, detect
from inpaintcli.errors import InpaintError, UsageError
from inpaintcli.inpainters.onnx_model import OnnxInpainter
from inpaintcli.inpainters.registry import WEIGHTS
from inpaintcli.runtime import Held, Session, usable_cores

ORIGINAL = Path(__file__).parent.parent / "assets" / "originals" / "astronaut.png"
SIDE = 1000


class Clock:
    """Counts the seconds that are spent in ONNX Runtime: in all sessions, and copying."""

    seconds = 0.0

    def watch(self) -> None:
        """Begin, for good."""
        for kind, name in (
            (Session, "run"), (Session, "run_held"), (Session, "hold"), (Session, "room"),
            (Held, "numpy"),
        ):  # fmt: skip
            setattr(kind, name, self._timed(getattr(kind, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def main(
    megapixels: Annotated[str, typer.Option(help="Sizes of photos, with commas.")] = "1,12,100",
    runs: Annotated[int, typer.Option(min=1, help="After the first of each size.")] = 3,
    device: Annotated[str, typer.Option(help="cuda, cuda:N, auto or cpu.")] = "cuda",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Tiles a call, to restore. [default: as it fits]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
) -> None:
    """Print megapixels a second, and the share of the time that is spent in the sessions."""
    try:
        sizes = _sizes(megapixels)
        inpainter = OnnxInpainter(WEIGHTS / "photo.onnx", device, threads)
        detector = Detector(Session(WEIGHTS / "detector.onnx", device, threads))
    except InpaintError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        raise SystemExit(int(error.exit_code)) from None
    cv2.setNumThreads(threads or usable_cores())
    clock = Clock()
    clock.watch()
    table = Table("what", "MP", "MP/s (median)", "spread", "in sessions", "first run (s)")
    for size in sizes:
        pixels, mask = make(size)

        def fill(pixels: Pixels = pixels, mask: Mask = mask) -> object:
            return restore(pixels, mask, inpainter, batch_size=batch_size, grain="off")

        def find(pixels: Pixels = pixels) -> object:
            return detect(pixels, detector)

        for name, once in (("restore", fill), ("detect", find)):
            first, seconds, share = measure(clock, once, runs)
            median = statistics.median(seconds)
            table.add_row(
                name, str(size), f"{size / median:.2f}",
                f"{(max(seconds) - min(seconds)) / median:.0%}", f"{share:.0%}", f"{first:.2f}",
            )  # fmt: skip
    Console(highlight=False).print(
        f"{device} ({inpainter.device}, tiles cut and blended "
        f"{'there' if inpainter.resident else 'by NumPy'}), {runs} runs after the first",
        table,
    )


def measure(
    clock: Clock, once: Callable[[], object], runs: int
) -> tuple[float, list[float], float]:
    """Seconds of the first call, of each of so many more, and the share of these in sessions."""
    seconds: list[float] = []
    for _ in range(runs + 1):
        if len(seconds) == 1:
            clock.seconds = 0.0
        started = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1:], clock.seconds / sum(seconds[1:])


def make(megapixels: int) -> tuple[Pixels, Mask]:
    """A damaged photo of so many megapixels, about as high as wide, and its mask."""
    enlarged = cv2.resize(np.ascontiguousarray(photo.read(ORIGINAL).colour), (SIDE, SIDE))
    square, mask = damage(np.asarray(enlarged, np.uint8), "scratches", coverage=0.05)
    high = max(high for high in range(1, math.isqrt(megapixels) + 1) if megapixels % high == 0)
    wide = megapixels // high
    return np.tile(square, (high, wide, 1)), np.tile(mask, (high, wide))


def _sizes(text: str) -> list[int]:
    """The sizes in a list with commas; raises UsageError for what is no size."""
    if not all(size.isdecimal() and int(size) for size in text.split(",")):
        raise UsageError(f"--megapixels {text}: give whole numbers with commas, such as 1,12,100")
    return [int(size) for size in text.split(",")]


if __name__ == "__main__":
    typer.run(main)
