"""Measure the detector: on aged photographs, on dust and hairs of real frames, and on clean ones.

    python -m training.detection --data cbsd68.tar --film film-damage.tar

Photographs that no training saw are made to look old, and damaged by the generator with seeds of
its own or by the outlines of frames that no training layer holds; and they are looked at as they
are. Damage counts where it changes a channel by at least 5 % of full scale, before the photograph
is scanned and in the finished scan; what is fainter, or hidden by the scan, or what the scan
blurred damage into, counts neither as damaged nor as sound. A found pixel is right within 2 px of
damage, and a damaged one is found within 2 px of a found one; precision and recall are of the
pixels of all photographs together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inpaintcli import aging
from inpaintcli.detect import (
    CERTAIN,
    DETECTOR,
    GROWTH,
    LEAST_AREA,
    Detector,
    Probability,
    load_detector,
    probability,
    to_mask,
)
from inpaintcli.errors import InpaintError
from inpaintcli.files import write_whole
from inpaintcli.looks import look_old, scanned
from inpaintcli.mask import MaskTools, grow
from training import film
from training.command import shell_command
from training.data import DataError, Pictures, load, spread
from training.detecting import FAINT, aged, alike, auc, seen
from training.layers import HELD_OUT_FRAMES

Array = NDArray[np.uint8]
Counts = NDArray[np.float64]

#: Pixels by which found and real damage may miss each other.
TOLERANCE = 2
AGED, FRAMES = "aged, all kinds", "dust and hairs of frames"
#: In the sets that are judged each photograph is damaged so many times, each time anew: with once,
#: the F1 of the whole set moves by 0.05 from seed to seed, and its AUC by 0.02.
DRAWS = 4
#: What is required, see `judged`.
LEAST_AUC, LEAST_F1, LEAST_FRAMES_F1, MOST_FLAGGED = 0.95, 0.75, 0.7, 0.003


@dataclass(frozen=True)
class Row:
    """The scores of one set of so many pictures (`photos`): auc, f1, precision, recall in [0, 1],
    None where nothing is damaged; found, changed and damaged are shares of all pixels: of the mask
    as found, of the mask as the commands widen it, and of the truth."""

    name: str
    photos: int
    auc: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    found: float
    changed: float
    damaged: float


class Tally:
    """What was found of one set of photographs so far."""

    def __init__(self) -> None:
        self.photos = 0
        self.damaged, self.sound = np.zeros(CERTAIN + 1), np.zeros(CERTAIN + 1)
        self.right = self.wrong = self.hit = self.missed = 0
        self.found = self.changed = self.pixels = self.marked = 0

    def add(self, chance: Probability, mask: NDArray[np.bool_], label: Array) -> None:
        """One photograph: probability, mask made of it, and labels, all (h, w)."""
        real = label == 1
        self.photos += 1
        self.damaged += np.bincount(chance[real], minlength=CERTAIN + 1)
        self.sound += np.bincount(chance[label == 0], minlength=CERTAIN + 1)
        near_real = grow(real, TOLERANCE)
        near_found = grow(mask, TOLERANCE)
        self.right += int((mask & near_real).sum())
        self.wrong += int((mask & ~near_real & (label != FAINT)).sum())
        self.hit += int((real & near_found).sum())
        self.missed += int((real & ~near_found).sum())
        self.found += int(mask.sum())
        self.changed += int(grow(mask, GROWTH).sum())
        self.marked += int(real.sum())
        self.pixels += mask.size

    def row(self, name: str) -> Row:
        """The scores."""
        precision = recall = f1 = area = None
        if self.marked:
            precision = self.right / max(1, self.right + self.wrong)
            recall = self.hit / max(1, self.hit + self.missed)
            f1 = 2 * precision * recall / max(1e-9, precision + recall)
            area = auc(self.damaged, self.sound)
        shares = (count / max(1, self.pixels) for count in (self.found, self.changed, self.marked))
        return Row(name, self.photos, area, f1, precision, recall, *shares)


def main(
    data: Annotated[Path, typer.Option(help="Undamaged photographs: a folder, or a tar of one.")],
    artefacts: Annotated[Path, typer.Option("--film", help="Tar of film artefacts.")],
    detector: Annotated[Path, typer.Option(help="The model file.")] = DETECTOR,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Another than the file's own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only N, evenly spaced.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the damage.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("assets/results"),
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Write the scores into the model's card.")
    ] = False,
) -> None:
    """Measure DETECTOR."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if write_card and (limit or threshold is not None or seed):
        console.print("Error: --write-card: a card tells of all photographs, at its own threshold "
                      "and with seed 0", style="red", markup=False)  # fmt: skip
        raise typer.Exit(2)
    try:
        model = load_detector(detector, device="cpu")
        frames = film.load_frames(artefacts)
        if not set(HELD_OUT_FRAMES) & set(frames):
            raise DataError(f"{artefacts}: holds none of {', '.join(HELD_OUT_FRAMES)}")
        photos = load(data, "test")
        photos = spread(photos, limit or len(photos))
        out.mkdir(parents=True, exist_ok=True)
    except (DataError, InpaintError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    bar = model.card.threshold if threshold is None else threshold
    rows = list(measured(model, bar, photos, frames, seed, console))
    setting = (
        f"{len(photos)} photographs of {photos.origin}, {DRAWS} times where marks are judged; "
        f"frames {', '.join(HELD_OUT_FRAMES)} of {artefacts.name}; threshold {bar:.2f}, regions "
        f"from {LEAST_AREA} px, growth {GROWTH} px"
    )
    verdicts = list(judged(rows))
    values = {
        "command": shell_command("training.detection"),
        "setting": setting,
        "rows": [asdict(row) for row in rows],
    }
    write_whole(out / "detection.json", (json.dumps(values, indent=2) + "\n").encode())
    write_whole(out / "detection.md", markdown(rows, verdicts, setting).encode())
    if write_card:
        from training.export import write_scores

        write_scores(detector, card_scores(rows))
    stdout = Console(soft_wrap=True, highlight=False)
    stdout.width = max(stdout.width, 100)
    stdout.print(setting, table(rows), *verdicts, f"written to {out}", sep="\n")


def measured(
    model: Detector,
    threshold: float,
    photos: Pictures,
    frames: dict[str, list[film.Outline]],
    seed: int,
    console: Console,
) -> Iterator[Row]:
    """The scores of every set."""
    known = [frames[name] for name in HELD_OUT_FRAMES if name in frames]
    sets: list[tuple[str, Callable[[Array, np.random.Generator], tuple[Array, Array]]]] = [
        (AGED, _aged(None)),
        *((f"aged: {kind}", _aged((kind,))) for kind in aging.KINDS),
        (FRAMES, lambda p, rng: framed(p, rng, known)),
        ("old-looking, undamaged", lambda p, rng: (scanned(old(p, rng), rng), _none(p))),
        ("clean", lambda p, rng: (p, _none(p))),
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(sets) * len(photos))
        for number, (name, damage) in enumerate(sets):
            progress.update(task, description=name)
            tally = Tally()
            draws = DRAWS if name in (AGED, FRAMES) else 1
            for index, item in enumerate(photos.items):
                for draw in range(draws):
                    rng = np.random.default_rng([seed, 9, number, index, draw])
                    picture, label = damage(item, rng)
                    chance = probability(picture, model)
                    mask = MaskTools(min_area=LEAST_AREA).apply(to_mask(chance, threshold))
                    tally.add(chance, mask, label)
                progress.advance(task)
            yield tally.row(name)


def old(picture: Array, rng: np.random.Generator) -> Array:
    """An old-looking photograph, uint8 (h, w, 3)."""
    return look_old(picture, rng).astype(np.uint8)


def _aged(
    kinds: tuple[str, ...] | None,
) -> Callable[[Array, np.random.Generator], tuple[Array, Array]]:
    """What makes an old-looking, damaged and scanned photograph, and its labels."""

    def damage(picture: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        sound = old(picture, rng)
        damaged, label = aged(sound, rng, kinds)
        damaged, sound = alike(scanned, damaged, sound, rng)
        return damaged, seen(label, damaged, sound)

    return damage


def framed(
    picture: Array, rng: np.random.Generator, frames: list[list[film.Outline]]
) -> tuple[Array, Array]:
    """A photograph with the dust and hairs of a part of a frame, and its labels."""
    sound = old(picture, rng)
    outlines = frames[int(rng.integers(len(frames)))]
    scale = float(rng.uniform(0.3, 1.0))
    shape = (picture.shape[0], picture.shape[1])
    corner = np.concatenate([outline.points for outline in outlines]).max(0)
    room = [max(1.0, float(corner[0]) - shape[1] / scale),
            max(1.0, float(corner[1]) - shape[0] / scale)]  # fmt: skip
    origin = (float(rng.uniform(0, room[0])), float(rng.uniform(0, room[1])))
    cover = film.draw_frame(outlines, shape, origin, scale)[..., None]
    colour = aging.paper(rng) if rng.random() < 0.6 else aging.dark(rng)
    opacity = cover * np.float32(rng.uniform(0.7, 1))
    before = sound.astype(np.float32) / np.float32(255)
    after = before * (1 - opacity) + colour * opacity
    label = _none(picture)
    label[opacity[..., 0] > 0.02] = FAINT
    label[(np.abs(after - before) >= aging.VISIBLE).any(2)] = 1
    damaged, sound = alike(scanned, np.rint(after * 255).astype(np.uint8), sound, rng)
    return damaged, seen(label, damaged, sound)


def _none(picture: Array) -> Array:
    return np.zeros(picture.shape[:2], np.uint8)


def judged(rows: list[Row]) -> Iterator[str]:
    """What is required and whether it holds, a line each."""
    by_name = {row.name: row for row in rows}
    whole, real = by_name[AGED], by_name[FRAMES]
    clean = by_name["clean"]
    for name, value, least in (
        ("aged: AUC", whole.auc, LEAST_AUC),
        ("aged: F1", whole.f1, LEAST_F1),
        ("frames: F1", real.f1, LEAST_FRAMES_F1),
    ):
        yield f"{name} {_text(value)} (at least {least}: {_holds((value or 0) >= least)})"
    yield (
        f"clean: {clean.found:.3%} of the pixels flagged (at most {MOST_FLAGGED:.1%}: "
        f"{_holds(clean.found <= MOST_FLAGGED)}), {clean.changed:.3%} changed by a restore"
    )


def card_scores(rows: list[Row]) -> dict[str, float]:
    """What the detector's card tells: F1 and AUC by set, and what is flagged of clean pictures."""
    scores: dict[str, float] = {}
    for row in rows:
        name = row.name.replace(",", "").replace(":", "").replace(" ", "_")
        if row.f1 is None or row.auc is None:
            scores[f"{name}_flagged"] = round(row.found, 5)
        else:
            scores[f"{name}_f1"] = round(row.f1, 3)
            scores[f"{name}_auc"] = round(row.auc, 4)
    return scores


HEADINGS = ("AUC", "F1", "precision", "recall", "found", "changed", "damaged")


def cells(row: Row) -> list[str]:
    """A row as text."""
    return [
        row.name, *map(_text, (row.auc, row.f1, row.precision, row.recall)),
        *(f"{share:.2%}" for share in (row.found, row.changed, row.damaged)),
    ]  # fmt: skip


def table(rows: list[Row]) -> Table:
    """The results for the terminal."""
    sheet = Table()
    sheet.add_column("damage", no_wrap=True)
    for heading in HEADINGS:
        sheet.add_column(heading, justify="right")
    for row in rows:
        sheet.add_row(*cells(row))
    return sheet


def markdown(rows: list[Row], verdicts: list[str], setting: str) -> str:
    """The text of detection.md."""
    lines = [["damage", *HEADINGS], ["---", *["---:"] * len(HEADINGS)], *map(cells, rows)]
    return (
        f"# Finding damage\n\n{setting}. Made by:\n\n    {shell_command('training.detection')}\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + f"""

* **AUC** is the area under the ROC curve of single pixels. **F1**, **precision** and **recall** are
  of pixels with {TOLERANCE} px of tolerance, of all photographs of a set together.
* **found**, **changed** and **damaged** are shares of all pixels: of the mask as found, as the
  commands widen it, and of the truth. Damage that changes a pixel by less than 5 % of full scale,
  before the scan or in it, counts as neither damaged nor sound, and so does what the scan blurred
  damage into.

"""
        + "".join(f"* {verdict}\n" for verdict in verdicts)
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _holds(yes: bool) -> str:
    return "holds" if yes else "does not hold"


if __name__ == "__main__":
    typer.run(main)
