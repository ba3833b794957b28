"""Write the cards of the shipped weights as a page that people can read.

    python -m training.cards

Every figure comes out of the model files' own metadata; `inpaintcli/weights/README.md` only
shows it.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from inpaintcli.detect import DETECTOR, DETECTOR_ON_CUDA
from inpaintcli.files import write_whole
from inpaintcli.inpainters.registry import NETWORKS, ON_CPU, WEIGHTS

HEAD = """# Cards of the shipped weights

Written by `python -m training.cards` from the metadata inside the model files.
"""
#: What the page shows of the metadata, in this order; the rest has a place of its own.
FIELDS = (
    "summary", "version", "parameters", "tile", "overlap", "margin", "multiple", "reach", "patch",
    "prior", "texture", "precision", "levels", "threshold",
    "trained_on", "data_licence", "licence", "epochs", "steps", "seed", "validation_hole_psnr",
    "validation_f1",
)  # fmt: skip
SCORES = (
    "`*_hole_psnr` in dB and `*_texture` on CBSD68 (`python -m training.photographs`), the others "
    "on CIFAR-10's test pictures (`python -m training.results`)"
)
DETECTORS = (DETECTOR_ON_CUDA, DETECTOR)
SCORES_OF_DETECTOR = (
    "F1 with 2 px of tolerance and pixel ROC AUC, and of undamaged photographs the share of pixels "
    "that is flagged (`python -m training.detection`)"
)


def main() -> None:
    """Write the page."""
    write_whole(WEIGHTS / "README.md", text().encode())


def text() -> str:
    """The page, as markdown: a card for each of the shipped files."""
    names = [file for name in NETWORKS for file in (name, ON_CPU.get(name)) if file]
    paths = [*(WEIGHTS / f"{name}.onnx" for name in names), *DETECTORS]
    return "\n".join([HEAD, *map(page, paths)])


def page(path: Path) -> str:
    """The card of one model file as markdown."""
    model = onnx.load(path)
    card = {entry.key: entry.value for entry in model.metadata_props}
    lines = [f"## {path.name}", "", "| field | value |", "| --- | --- |"]
    lines += [f"| {field} | {card[field]} |" for field in FIELDS if field in card]
    lines += ["", "Trained by", ""]
    lines += [f"    {command}" for command in card["command"].split(" && ")]
    scores = json.loads(card.get("scores", "{}"))
    lines += ["", f"Scores: {SCORES_OF_DETECTOR if path in DETECTORS else SCORES}:", ""]
    lines += [f"* {name}: {value}" for name, value in scores.items()]
    rows = json.loads(card["history"])
    lines += ["", "The runs that ended in these weights:", ""]
    # Runs on other damage have other columns.
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines += [f"| {' | '.join(names)} |", f"|{' ---: |' * len(names)}"]
    lines += [f"| {' | '.join(str(row.get(name, '')) for name in names)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
