"""Measure the shipped networks on CIFAR-10's test pictures, beside the classical methods.

    python -m training.results --data cifar-10-python.tar.gz --write-cards

Every method restores the same damage, lines of the published recipe. Results are composited
(undamaged pixels are the original's) and rounded to 8 bit before they are scored.

Stacks of pictures are uint8 or float32 (N, h, w, 3), of masks bool (N, h, w), True = damaged.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inpaintcli import metrics
from inpaintcli.damage import draw_lines
from inpaintcli.errors import InpaintError, UsageError
from inpaintcli.files import write_whole
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.inpainters.registry import WEIGHTS, load_model
from training.command import shell_command
from training.data import DataError, Pictures
from training.data import load as load_pictures
from training.grids import grid, png

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]

#: Those trained on CIFAR-10.
NETWORKS = ("autoencoder", "partial-conv")
CLASSICAL = ("biharmonic", "navier-stokes", "telea")
BATCH = 250
GRID_ROWS = 8

#: Required of every network, against the classical method of the highest hole PSNR: dB more than
#: that, and a share of that method's mean absolute error. The margin that is aimed at.
MARGIN, RATIO, AIM = 0.8, 0.9, 2.0


@dataclass(frozen=True)
class Row:
    """The scores of one method over all pictures.

    hole_psnr: dB, from the mean squared error over every damaged pixel of the set; mae, hole_mae:
    0 to 1, over all pixels of the set and over the damaged ones; ssim, dice: means over the
    pictures; article_dice: see the function; raw_mae: of a network's whole output as it comes,
    neither composited nor rounded, None for other methods.
    """

    name: str
    hole_psnr: float
    mae: float
    hole_mae: float
    ssim: float
    dice: float
    article_dice: float
    raw_mae: float | None = None


#: Heading and format of every score.
COLUMNS = {
    "hole_psnr": ("hole PSNR (dB)", ".2f"),
    "mae": ("MAE", ".5f"),
    "hole_mae": ("MAE damaged", ".4f"),
    "ssim": ("SSIM", ".4f"),
    "dice": ("Dice", ".5f"),
    "article_dice": ("Dice (article)", ".4f"),
    "raw_mae": ("MAE raw", ".4f"),
}


@dataclass(frozen=True)
class Verdict:
    """Whether a network is as far above the best classical method as it has to be."""

    name: str
    rival: str
    #: dB of pooled hole PSNR over the rival's.
    margin: float
    #: Mean absolute error as a share of the rival's.
    ratio: float

    @property
    def holds(self) -> bool:
        """True if both requirements hold."""
        return self.margin >= MARGIN and self.ratio <= RATIO

    def __str__(self) -> str:
        aim = "reached" if self.margin >= AIM else "not reached"
        return (
            f"{self.name}: hole PSNR {self.margin:+.2f} dB against {self.rival} (at least "
            f"+{MARGIN} dB required: {_holds(self.margin >= MARGIN)}; aim of +{AIM:g} dB: {aim}); "
            f"MAE {self.ratio:.3f} of its (at most {RATIO} required: {_holds(self.ratio <= RATIO)})"
        )


def main(
    data: Annotated[
        Path, typer.Option(help="cifar-10-python.tar.gz, a folder of pictures, or a tar of one.")
    ],
    models: Annotated[
        list[Path] | None,
        typer.Option(help="A model file; may be given several times. [default: the shipped two]"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=GRID_ROWS, help="Use only N pictures, evenly spaced.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for table and grids.")] = Path("assets/results"),
    write_cards: Annotated[
        bool, typer.Option("--write-cards", help="Write the scores into the models' cards too.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the damage.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. [default: cores]")] = None,
) -> None:
    """Measure networks and classical methods on the test pictures in DATA."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    files = models or [WEIGHTS / f"{name}.onnx" for name in NETWORKS]
    networks = {file.stem: file for file in files}
    try:
        if write_cards and limit:
            raise UsageError("--write-cards needs all test pictures: leave --limit out")
        if len(networks) < len(files) or networks.keys() & set(CLASSICAL):
            raise UsageError("two methods of one name: rename a model file")
        for model in (*map(str, files), *CLASSICAL):
            load_model(model, device="cpu")
        pictures = load_pictures(data, "test")
        originals = stacked(pictures, limit)
        out.mkdir(parents=True, exist_ok=True)
    except (DataError, InpaintError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None

    masks = draw_masks(originals, seed)
    methods = {**{name: str(file) for name, file in networks.items()}, **{n: n for n in CLASSICAL}}
    rows, restored = [], {}
    for name, raw in restored_by(
        methods, originals, masks, workers or os.cpu_count() or 1, console
    ):
        restored[name] = composited(raw, originals, masks)
        rows.append(
            measured(name, restored[name], originals, masks, raw if name in networks else None)
        )
    damaged = np.where(masks[..., None], np.uint8(255), originals)
    rows.append(measured("damaged", damaged, originals, masks))
    rows.append(measured("perfect", originals, originals, masks))
    verdicts = judged(rows, list(networks))

    setting = (
        f"{len(originals)} test pictures of {pictures.origin}, 1 to 9 lines of 1 to 2 px on each "
        f"(seed {seed}), {masks.mean():.1%} of the pixels damaged"
    )
    columns = [("original", originals), ("damaged", damaged), *restored.items()]
    worst = hardest(restored, list(networks), originals, masks)
    reports = {
        "results.md": markdown(rows, verdicts, setting).encode(),
        "results.json": as_json(rows, verdicts, setting).encode(),
        "grid.png": png(grid([(n, stack[typical(masks)]) for n, stack in columns])),
        "hardest.png": png(grid([(n, stack[worst]) for n, stack in columns])),
    }
    try:
        for file_name, content in reports.items():
            write_whole(out / file_name, content)
        if write_cards:
            # Here and not above: PyTorch, which export imports, would burden every process.
            from training.export import write_scores

            for row in rows[: len(networks)]:
                write_scores(networks[row.name], card_scores(row))
    except OSError as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    stdout = Console(soft_wrap=True, highlight=False)
    stdout.width = max(stdout.width, 100)
    stdout.print(setting, table(rows), *map(str, verdicts), f"written to {out}", sep="\n")


def stacked(pictures: Pictures, limit: int | None = None) -> Pixels:
    """All pictures as one stack, or `limit` of them evenly spaced, so over the classes too."""
    step = max(1, math.ceil(len(pictures) / limit)) if limit else 1
    if len({picture.shape for picture in pictures.items}) > 1:
        raise DataError(f"{pictures.origin}: the pictures are not all of one size, as CIFAR-10's")
    return np.stack(pictures.items[::step])


def draw_masks(originals: Pixels, seed: int) -> Masks:
    """Lines of the published recipe for every picture; the same seed gives the same masks."""
    rng = np.random.default_rng(seed)
    canvases = np.zeros(originals.shape[:3], np.uint8)
    for canvas in canvases:
        draw_lines(canvas, rng)
    return canvases.astype(bool)


def restored_by(
    methods: dict[str, str], originals: Pixels, masks: Masks, workers: int, console: Console
) -> Iterator[tuple[str, Floats]]:
    """Each method's name and all that it returned, float32 (N, h, w, 3) in [0, 1].

    `methods` maps names to what `load_model` takes. Batches are spread over `workers` processes.
    """
    starts = range(0, len(originals), BATCH)
    batches = [originals[i : i + BATCH] for i in starts], [masks[i : i + BATCH] for i in starts]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    # A forked child would inherit the locks of OpenCV's and ONNX Runtime's threads.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, context) as pool,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        tasks = {name: progress.add_task(name, total=len(originals)) for name in methods}
        for name, model in methods.items():
            run = pool.map if workers > 1 else map
            parts = []
            for part in run(restored_batch, repeat(model), *batches):
                parts.append(part)
                progress.advance(tasks[name], len(part))
            yield name, np.concatenate(parts)


def restored_batch(model: str, originals: Pixels, masks: Masks) -> Floats:
    """What a method makes of a batch from which the damaged pixels have been taken."""
    holes = masks[:, None]
    images = metrics.intensities(originals).transpose(0, 3, 1, 2)
    restored = _loaded(model)(np.where(holes, np.float32(0), images), holes.astype(np.float32))
    return np.ascontiguousarray(restored.transpose(0, 2, 3, 1))


@cache
def _loaded(model: str) -> Inpainter:
    return load_model(model, device="cpu", threads=1)


def composited(raw: Floats, originals: Pixels, masks: Masks) -> Pixels:
    """The originals, with damaged pixels from `raw` rounded to 8 bit."""
    return np.where(masks[..., None], np.rint(raw * 255).astype(np.uint8), originals)


def measured(
    name: str, restored: Pixels, originals: Pixels, masks: Masks, raw: Floats | None = None
) -> Row:
    """All scores of one method."""
    x, y = metrics.intensities(restored), metrics.intensities(originals)
    return Row(
        name,
        hole_psnr=metrics.psnr(x, y, masks),
        mae=metrics.mae(x, y),
        hole_mae=metrics.mae(x, y, masks),
        ssim=float(np.mean([metrics.ssim_map(a, b).mean() for a, b in zip(x, y, strict=True)])),
        dice=float(np.mean([metrics.dice(a, b) for a, b in zip(x, y, strict=True)])),
        article_dice=article_dice(x, y),
        raw_mae=None if raw is None else metrics.mae(raw, y),
    )


def article_dice(x: Floats, y: Floats) -> float:
    """`2·Σxy / (Σx + Σy)`, the article's form, over all pictures at once as it did over batches.

    Intensities are no binary masks: of equal pictures it is Σx² / Σx, about 0.6 on CIFAR-10, and
    brighter results score higher.
    """
    both = 2 * float(np.sum(x * y, dtype=np.float64))
    return both / (float(np.sum(x, dtype=np.float64)) + float(np.sum(y, dtype=np.float64)))


def judged(rows: Sequence[Row], networks: Sequence[str]) -> list[Verdict]:
    """Every network against the classical method of the highest hole PSNR."""
    by_name = {row.name: row for row in rows}
    rival = max((by_name[name] for name in CLASSICAL), key=lambda row: row.hole_psnr)
    return [
        Verdict(name, rival.name, by_name[name].hole_psnr - rival.hole_psnr,
                by_name[name].mae / rival.mae)
        for name in networks
    ]  # fmt: skip


def typical(masks: Masks) -> NDArray[np.intp]:
    """For the grid, chosen by damage alone and not by result: from each eighth of the set, the
    first picture with at least the average damage."""
    shares = masks.mean((1, 2))
    parts = np.array_split(np.arange(len(masks)), GRID_ROWS)
    return np.array([part[np.argmax(shares[part] >= shares.mean())] for part in parts])


def hardest(
    restored: dict[str, Pixels], networks: Sequence[str], originals: Pixels, masks: Masks
) -> NDArray[np.intp]:
    """The pictures on which the networks together erred most, by squared error."""
    errors = sum(
        np.square(restored[name].astype(np.float32) - originals).sum((1, 2, 3)) for name in networks
    )
    return np.argsort(errors)[::-1][:GRID_ROWS]


def card_scores(row: Row) -> dict[str, float]:
    """The scores that a model's card tells."""
    return {
        "hole_psnr": round(row.hole_psnr, 2),
        "mae": round(row.mae, 5),
        "ssim": round(row.ssim, 4),
        "dice": round(row.dice, 5),
    }


def cells(row: Row) -> list[str]:
    """The scores of a row as text, in the order of COLUMNS."""
    values = [(getattr(row, key), form) for key, (_, form) in COLUMNS.items()]
    return [
        "–" if value is None else "∞" if value == metrics.PSNR_OF_EQUAL else format(value, form)
        for value, form in values
    ]


def table(rows: Sequence[Row]) -> Table:
    """The rows for the terminal."""
    sheet = Table()
    sheet.add_column("method", no_wrap=True)
    for heading, _ in COLUMNS.values():
        sheet.add_column(heading, justify="right")
    for row in rows:
        sheet.add_row(row.name, *cells(row))
    return sheet


def markdown(rows: Sequence[Row], verdicts: Sequence[Verdict], setting: str) -> str:
    """The text of results.md."""
    headings = ["method", *(heading for heading, _ in COLUMNS.values())]
    lines = [headings, ["---", *("---:" for _ in COLUMNS)], *([r.name, *cells(r)] for r in rows)]
    damaged, perfect = rows[-2:]
    jpeg = (
        "The pictures are JPEG copies of CIFAR-10: on those of the official archive the scores "
        "would differ a little.\n\n"
    )
    command = shell_command("training.results")
    return (
        "# Results\n\n"
        f"{setting[0].upper() + setting[1:]}. Made by:\n\n    {command}\n\n"
        + (jpeg if "JPEG" in setting else "")
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + f"""

Results are composited (undamaged pixels copied) and rounded to 8 bit, intensities are in [0, 1].

* **hole PSNR** is pooled: from the mean squared error over every damaged pixel of the set.
* **MAE** is over all pixels, **MAE damaged** over damaged ones.
* **SSIM** and **Dice**, `2·Σxy / (Σx² + Σy²)`, are means over the pictures.
* **Dice (article)** is `2·Σxy / (Σx + Σy)` over the whole set, as in the article that the
  presentation follows. A perfect restoration scores {perfect.article_dice:.4f} here and not 1, the
  damaged pictures themselves {damaged.article_dice:.4f}: the article's 0.606 says little.
* **MAE raw** is over the whole output of a network, uncomposited and unrounded: the form in which
  the article's networks reached 0.0132 and 0.0461 on their validation pictures.

Required of both networks, against the classical method of the highest hole PSNR:

"""
        + "".join(f"* {verdict}\n" for verdict in verdicts)
        + """
From each eighth of the set, the first picture with at least the average damage:

![Originals, damaged pictures and restored ones](grid.png)

The pictures on which the networks erred most:

![Originals, damaged pictures and restored ones](hardest.png)
"""
    )


def as_json(rows: Sequence[Row], verdicts: Sequence[Verdict], setting: str) -> str:
    """The text of results.json."""
    values = {
        "command": shell_command("training.results"),
        "setting": setting,
        "methods": [asdict(row) for row in rows],
        "requirements": [{**asdict(verdict), "holds": verdict.holds} for verdict in verdicts],
    }
    return json.dumps(values, indent=2) + "\n"


def _holds(yes: bool) -> str:
    return "holds" if yes else "does not hold"


if __name__ == "__main__":
    typer.run(main)
