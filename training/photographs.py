"""Measure methods on whole photographs, for four kinds of damage, as `inpaint restore` runs them.

    python -m training.photographs --data cbsd68.tar

Every method restores the same masks, drawn by `inpaintcli.damage` with its recipes and seeded by
the photograph's place in the set, with `--grain off`. What is required of `photo` against the best
classical method of each kind is judged and printed below the table.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inpaintcli import metrics
from inpaintcli.damage import Kind, apply_mask, draw_mask, generator
from inpaintcli.errors import InpaintError
from inpaintcli.files import write_whole
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.inpainters.registry import CLASSICAL, DEFAULT, NETWORKS, ON_CPU, WEIGHTS, load_model
from inpaintcli.metrics import Scores
from inpaintcli.restore import restore
from inpaintcli.runtime import usable_cores
from training.command import shell_command
from training.data import DataError, load
from training.grids import grid, png

Picture = NDArray[np.uint8]

KINDS: tuple[Kind, ...] = ("scratches", "strokes", "text", "holes")
#: dB of mean hole PSNR that `photo` must have over the best classical method, and what is aimed
#: at; and the least mean texture ratio, for holes.
REQUIRED = {"scratches": 1.5, "strokes": 1.5, "text": 1.5, "holes": 0.5}
AIM = {"scratches": 2.5, "strokes": 2.5, "text": 2.5, "holes": 0.5}
TEXTURE = 0.5
GRID_PHOTOS = 2
#: Side in pixels of what the grid shows of a photo.
GRID_SIDE = 160
#: Heading, field of Scores, format.
COLUMNS = (
    ("hole PSNR (dB)", "hole_psnr", ".2f"),
    ("SSIM", "ssim", ".4f"),
    ("hole SSIM", "hole_ssim", ".4f"),
    ("texture", "texture", ".2f"),
    ("Dice", "dice", ".5f"),
)


@dataclass(frozen=True)
class Result:
    """The mean scores of one method over all photographs with one kind of damage."""

    kind: Kind
    method: str
    scores: Scores
    #: Mean seconds of a restore in a process with one thread, beside others: to compare roughly.
    seconds: float
    #: What identifies the weights that ran: see `fingerprint`.
    weights: str = ""


def main(
    data: Annotated[Path, typer.Option(help="A folder of photographs, or a tar of one.")],
    models: Annotated[
        str, typer.Option(help="Names or ONNX files, with commas between.")
    ] = ",".join((*NETWORKS, *CLASSICAL)),
    kinds: Annotated[str, typer.Option(help="Kinds of damage, with commas between.")] = ",".join(
        KINDS
    ),
    limit: Annotated[int | None, typer.Option(min=1, help="Use only N, evenly spaced.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the damage.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("assets/results"),
    sheet: Annotated[
        Path | None, typer.Option(help="Also write a picture of what every method made to FILE.")
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Measure only what an earlier run of the same setting left out of OUT."
        ),
    ] = False,
    write_cards: Annotated[
        bool, typer.Option("--write-cards", help="Write the scores into the shipped models' cards.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. [default: cores]")] = None,
) -> None:
    """Measure MODELS on the photographs in DATA."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    names = models.split(",")
    try:
        chosen = [next(kind for kind in KINDS if kind == name) for name in kinds.split(",")]
        for name in names:
            load_model(name, device="cpu", threads=1)
        photos = load(data, "test")
        items = photos.items[:: -(-len(photos) // limit) if limit else 1]
        out.mkdir(parents=True, exist_ok=True)
    except StopIteration:
        console.print(f"Error: --kinds {kinds}: choose from {', '.join(KINDS)}", style="red",
                      markup=False)  # fmt: skip
        raise typer.Exit(2) from None
    except (DataError, InpaintError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None

    setting = (
        f"{len(items)} photographs of {photos.origin}, damage by the recipes of `inpaint damage` "
        f"(seeded by {seed} and the place in the set), grain off; means over the photographs"
    )
    kept = earlier(out / "photographs.json", setting) if keep else []
    have = {(result.kind, result.method) for result in kept}
    wanted = [pair for pair in product(chosen, names) if pair not in have]
    new = measured(items, wanted, seed, workers or usable_cores(), console)
    order = {
        pair: place for place, pair in enumerate(product(KINDS, (*names, *NETWORKS, *CLASSICAL)))
    }
    results = sorted([*kept, *new], key=lambda r: order.get((r.kind, r.method), len(order)))
    verdicts = judged(results)
    write_whole(out / "photographs.json", as_json(results, setting).encode())
    write_whole(out / "photographs.md", markdown(results, verdicts, setting).encode())
    if sheet:
        write_whole(sheet, png(pictures(items, names, chosen, seed)))
    if write_cards:
        # Here and not above: PyTorch, which export imports, would burden every process.
        from training.export import update_scores

        for name in names:
            file = file_of(name)
            if file and file.parent == WEIGHTS:
                update_scores(file, card_scores(results, name))
    stdout = Console(soft_wrap=True, highlight=False)
    stdout.width = max(stdout.width, 100)
    stdout.print(setting, table(results), *verdicts, f"written to {out}", sep="\n")


def measured(
    photos: Sequence[Picture],
    wanted: Sequence[tuple[Kind, str]],
    seed: int,
    workers: int,
    console: Console,
) -> Iterator[Result]:
    """The mean scores of methods for kinds of damage."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    # A forked child would inherit the locks of OpenCV's and ONNX Runtime's threads.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("", total=len(wanted) * len(photos))
        for kind, name in wanted:
            progress.update(task, description=f"{kind}: {name}")
            jobs = [(photo, kind, name, seed, i) for i, photo in enumerate(photos)]
            scores, seconds = [], 0.0
            for one, took in pool.map(_scored, jobs):
                scores.append(one)
                seconds += took / len(photos)
                progress.advance(task)
            yield Result(kind, name, metrics.mean(scores), seconds, fingerprint(name))


def earlier(path: Path, setting: str) -> list[Result]:
    """The results of an earlier run of the same setting and with the same weights."""
    if not path.exists():
        return []
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["setting"] != setting:
            return []
        results = [
            Result(
                row.pop("kind"), row.pop("method"), seconds=row.pop("seconds"),
                weights=row.pop("weights"), scores=Scores(**row),
            )
            for row in values["results"]
        ]  # fmt: skip
        return [result for result in results if result.weights == fingerprint(result.method)]
    except (ValueError, KeyError, TypeError):
        return []


def file_of(name: str) -> Path | None:
    """The file that a name or a path stands for on a CPU; None for methods without one."""
    path = WEIGHTS / f"{ON_CPU.get(name, name)}.onnx" if name in NETWORKS else Path(name)
    return path.resolve() if path.is_file() else None


def fingerprint(name: str) -> str:
    """12 hexadecimal digits of the hash of the graph and weights of a model, without its card; ""
    for methods without a file."""
    file = file_of(name)
    if not file:
        return ""
    import onnx

    graph = onnx.load(file).graph.SerializeToString(deterministic=True)
    return hashlib.sha256(graph).hexdigest()[:12]


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _scored(job: tuple[Picture, Kind, str, int, int]) -> tuple[Scores, float]:
    photo, kind, name, seed, index = job
    mask = draw_mask(photo.shape[:2], generator(seed, str(index)), kind)
    damaged = apply_mask(photo, mask)
    started = time.perf_counter()
    restored = restore(damaged, mask, _loaded(name), grain="off")
    return metrics.score(restored, photo, mask), time.perf_counter() - started


@cache
def _loaded(name: str) -> Inpainter:
    return load_model(name, device="cpu", threads=1)


def judged(results: Sequence[Result], model: str = DEFAULT) -> list[str]:
    """What is required of `model` and whether it holds, a line each."""
    lines = []
    for ours in results:
        rivals = [r for r in results if r.kind == ours.kind and r.method in CLASSICAL]
        if ours.method != model or not rivals:
            continue
        best = max(rivals, key=lambda r: _value(r, "hole_psnr"))
        similar = max(rivals, key=lambda r: r.scores.ssim)
        margin = _value(ours, "hole_psnr") - _value(best, "hole_psnr")
        required, aim = REQUIRED[ours.kind], AIM[ours.kind]
        line = (
            f"{ours.kind}: {margin:+.2f} dB over {best.method} (at least +{required} dB required: "
            f"{_holds(margin >= required)}; aim of +{aim} dB: {_holds(margin >= aim)}); "
            f"SSIM {ours.scores.ssim:.4f} over {similar.scores.ssim:.4f} of {similar.method}: "
            f"{_holds(ours.scores.ssim > similar.scores.ssim)}"
        )
        if ours.kind == "holes":
            ratio = _value(ours, "texture")
            line += f"; texture {ratio:.2f} (at least {TEXTURE}): {_holds(ratio >= TEXTURE)}"
        lines.append(line)
    return lines


def card_scores(results: Sequence[Result], name: str) -> dict[str, float]:
    """What a model's card tells of its results: hole PSNR and texture by kind."""
    own = [result for result in results if result.method == name]
    return {
        f"{result.kind}_{field}": round(_value(result, field), 2)
        for result in own
        for field in ("hole_psnr", "texture")
    }


def pictures(
    photos: Sequence[Picture], names: Sequence[str], kinds: Sequence[Kind], seed: int
) -> Picture:
    """The middle of some photographs: original, damaged, and as every method restores it."""
    columns: dict[str, list[Picture]] = {}
    side = min(GRID_SIDE, *(length for photo in photos for length in photo.shape[:2]))
    for place, kind in enumerate(kinds):
        for number in range(GRID_PHOTOS):
            index = (1 + place + 4 * number) * len(photos) // (4 * GRID_PHOTOS + 2)
            photo = photos[index]
            mask = draw_mask(photo.shape[:2], generator(seed, str(index)), kind)
            # Where the damage is: the middle of its largest window.
            window = most_damaged(mask, side)
            shown = {"original": photo, "damaged": apply_mask(photo, mask)}
            for name in names:
                shown[name] = restore(shown["damaged"], mask, _loaded(name), grain="off")
            for heading, picture in shown.items():
                columns.setdefault(heading, []).append(np.asarray(picture[window], np.uint8))
    return grid([(heading, np.stack(stack)) for heading, stack in columns.items()])


def most_damaged(mask: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """The window of `side` px with the most damage, of those every eighth of it."""
    height, width = mask.shape
    step = max(1, side // 8)
    places = product(range(0, height - side + 1, step), range(0, width - side + 1, step))
    top, left = max(places, key=lambda p: mask[p[0] : p[0] + side, p[1] : p[1] + side].sum())
    return np.s_[top : top + side, left : left + side]


def table(results: Sequence[Result]) -> Table:
    """The results for the terminal."""
    sheet = Table()
    for heading in ("damage", "method"):
        sheet.add_column(heading, no_wrap=True)
    for heading, *_ in (*COLUMNS, ("seconds",)):
        sheet.add_column(heading, justify="right")
    for row in rows(results):
        sheet.add_row(*row)
    return sheet


def rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """Every result as text."""
    for result in results:
        yield [
            result.kind, result.method,
            *(format(_value(result, field), form) for _, field, form in COLUMNS),
            f"{result.seconds:.2f}",
        ]  # fmt: skip


def markdown(results: Sequence[Result], verdicts: Sequence[str], setting: str) -> str:
    """The text of photographs.md."""
    headings = ["damage", "method", *(heading for heading, *_ in COLUMNS), "seconds"]
    lines = [headings, ["---", "---", *["---:"] * (len(headings) - 2)], *rows(results)]
    return (
        f"# On photographs\n\n{setting}. Made by:\n\n"
        f"    {shell_command('training.photographs')}\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + """

* **hole PSNR** and **hole SSIM** are of damaged pixels, **SSIM** and **Dice** of the whole photo.
* **texture** is the standard deviation of the Laplacian inside the fill over that of the original
  there: 1 is as much fine detail as was there, 0 a smear.
* **seconds** are of one thread beside other processes: to compare roughly.

"""
        + "".join(f"* {verdict}\n" for verdict in verdicts)
    )


def as_json(results: Sequence[Result], setting: str) -> str:
    """The text of photographs.json."""
    values = {
        "command": shell_command("training.photographs"),
        "setting": setting,
        "results": [
            {
                "kind": r.kind,
                "method": r.method,
                "seconds": r.seconds,
                "weights": r.weights,
                **r.scores.to_dict(),
            }
            for r in results
        ],
    }
    return json.dumps(values, indent=2) + "\n"


def _value(result: Result, field: str) -> float:
    return float(getattr(result.scores, field) or 0.0)


def _holds(yes: bool) -> str:
    return "holds" if yes else "does not hold"


if __name__ == "__main__":
    typer.run(main)
