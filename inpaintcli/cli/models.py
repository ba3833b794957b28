"""`inpaint models`: every method, what it needs and how good it is."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from inpaintcli import report
from inpaintcli.cli import options
from inpaintcli.inpainters.base import Card
from inpaintcli.inpainters.registry import DEFAULT, cards

#: The kinds of damage whose scores are shown.
SCORED = ("scratches", "strokes", "text", "holes")


def models(json: options.Json = False) -> int:
    """List the methods that --model takes, with what they need and their measured scores.

    An ONNX file of your own works by its path: `inpaint restore --model FILE.onnx`.
    """
    if json:
        for card in cards():
            report.print_json({**asdict(card), "default": card.name == DEFAULT})
        return 0
    # In a narrow terminal the method's own line would leave no room for the rest.
    narrow = report.narrow()
    headings = ["name", "tile", "size", "hole PSNR dB*", "trained on"]
    table = report.plain_table(headings if narrow else [*headings, "method"], [])
    table.columns[0].no_wrap = True
    for card in cards():
        scores = [card.scores.get(f"{kind}_hole_psnr") for kind in SCORED]
        cells = (
            card.name + (" (default)" if card.name == DEFAULT else ""),
            "whole" if card.tile is None else str(card.tile),
            f"{card.size / 1e6:.1f} MB" if card.size else "-",
            " ".join("-" if score is None else f"{score:.1f}" for score in scores),
            card.trained_on or "-",
            _method(card),
        )
        table.add_row(*map(Text, cells[: len(table.columns)]))
    table.caption = f"* on the photographs of CBSD68, damaged by {', '.join(SCORED)}"
    table.caption_justify = "left"
    report.print_table(table)
    return 0


def _method(card: Card) -> str:
    if card.missing:
        return f"{card.summary}: not installed, pip install {card.missing}"
    return card.summary
