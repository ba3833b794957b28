"""Results as people and scripts read them: a table, or one JSON object a line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inpaintcli import metrics
from inpaintcli.metrics import Scores

#: Heading, field of Scores and format of every score column.
SCORE_COLUMNS = (
    ("Dice", "dice", "{:.4f}"),
    ("PSNR dB", "psnr", "{:.2f}"),
    ("SSIM", "ssim", "{:.4f}"),
    ("hole PSNR dB", "hole_psnr", "{:.2f}"),
    ("hole SSIM", "hole_ssim", "{:.4f}"),
    ("texture", "texture", "{:.2f}"),
)


def console(stream: IO[str]) -> Console:
    """A Rich console that colours a terminal and neither wraps nor cuts where it is piped."""
    width = None if stream.isatty() else 10_000
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())


def narrow() -> bool:
    """True if standard output is a terminal with little room."""
    return sys.stdout.isatty() and console(sys.stdout).width < 120


def label(path: Path) -> str:
    """A photo's path in a table; in a narrow terminal its name alone."""
    return shown(path.name if narrow() else path)


def shown(path: Path | str) -> str:
    """A path as one printable line, whatever bytes or line breaks its name has."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def why(error: str, path: Path) -> str:
    """The reason of a failure where the photo is named already."""
    return error.removeprefix(f"{path}: ")


def json_line(row: dict[str, Any]) -> str:
    """One JSON object as one line of ASCII.

    Bytes of names that are not UTF-8 are lone surrogates, as Python has them: `os.fsencode` of a
    name gives the bytes back.
    """
    return json.dumps(row, ensure_ascii=True, allow_nan=False)


def print_json(row: dict[str, Any], stream: IO[str] | None = None) -> None:
    """Print one JSON object as `json_line` has it, to standard output by default."""
    _print(json_line(row), stream or sys.stdout)


def print_table(table: Table, stream: IO[str] | None = None) -> None:
    """Print a table, to standard output by default."""
    stream = stream or sys.stdout
    out = console(stream)
    if not stream.isatty():
        # Piped, a table is as wide as its content, and no line ends in blanks.
        out.width = max(80, out.measure(table).maximum)
    with out.capture() as capture:
        out.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    _print("\n".join(lines).strip("\n"), stream)


def print_line(text: str, stream: IO[str] | None = None) -> None:
    """Print a line of text, to standard output by default."""
    _print(text, stream or sys.stdout)


def _print(text: str, stream: IO[str]) -> None:
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # Whoever reads our output has enough of it: the work goes on, and nothing complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plain_table(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """An empty table in the style of all our tables: columns of text, then columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def percent(share: float | None) -> str:
    """A share of 0 to 1 as a percentage, or a dash."""
    return "-" if share is None else f"{share:.2%}"


def seconds(value: float | None) -> str:
    """How long something took, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def score_cells(scores: Scores | None) -> list[str]:
    """The cells of SCORE_COLUMNS; dashes where there is no score."""
    values = scores.to_dict() if scores else {}
    cells = []
    for _, name, form in SCORE_COLUMNS:
        value = values.get(name)
        cells.append("-" if value is None else form.format(value))
    return cells


def score_table(rows: Sequence[tuple[Path, Scores]]) -> Table:
    """Scores a photo, and their mean where there are several."""
    table = plain_table(["photo"], ["damaged", *(heading for heading, *_ in SCORE_COLUMNS)])
    for path, scores in rows:
        table.add_row(Text(label(path)), percent(scores.damaged), *score_cells(scores))
    if len(rows) > 1:
        mean = metrics.mean(scores for _, scores in rows)
        table.add_section()
        table.add_row(f"mean of {len(rows)}", percent(mean.damaged), *score_cells(mean))
    return table
