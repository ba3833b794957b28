"""What `inpaint bench` measured, as people and scripts read it: a table in the terminal, Markdown,
JSON, and an HTML page with pictures and a plot."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from rich.table import Table
from rich.text import Text

from inpaintcli import report
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.bench import GIVEN, Case, Damaged, Result, Row, Setting, rows
from inpaintcli.photo import Metadata, Photo, encode
from inpaintcli.plot import Point, plot
from inpaintcli.runtime import usable_cores
from inpaintcli.sheet import reduced
from inpaintcli.version import __version__
from inpaintcli.webpage import document, jpeg, made_by, text

#: So many photos, counted once for each kind of damage, are shown with pictures.
MOST_SHOWN = 20
#: Sides in pixels of the detail of a photo that is shown as it is, and of the photo made small.
DETAIL, WHOLE = 256, 480

_QUALITY = 90


@dataclass(frozen=True)
class Column:
    """A column of figures: its heading, its value in a row, how that is written, and which value
    is the best: the most, the least, or the nearest to one; None where no value is better."""

    heading: str
    value: Callable[[Row], float | None]
    form: Callable[[float], str]
    best: Literal["most", "least", "one"] | None = None


def _score(name: str) -> Callable[[Row], float | None]:
    return lambda row: getattr(row.scores, name) if row.scores else None


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 0.9995 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.1f}" if value < 10e6 else f"{value / 1e6:.0f}"


COLUMNS = (
    Column("Dice", _score("dice"), "{:.4f}".format, "most"),
    Column("hole PSNR dB", _score("hole_psnr"), "{:.2f}".format, "most"),
    Column("SSIM", _score("ssim"), "{:.4f}".format, "most"),
    Column("texture", _score("texture"), "{:.2f}".format, "one"),
    Column("s/MP", lambda row: row.seconds, _seconds, "least"),
    Column("spread", lambda row: row.spread, "{:.0%}".format),
    Column("peak MB", lambda row: row.peak, _megabytes, "least"),
    Column("model MB", lambda row: row.size, _megabytes, "least"),
    Column("GMAC/MP", lambda row: row.macs, lambda value: f"{value / 1e3:.1f}", "least"),
)
#: What a narrow terminal has no room for.
_WIDE = {"SSIM", "spread", "GMAC/MP"}


@dataclass(frozen=True)
class Cell:
    """A figure as it is written, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Bench:
    """A whole run: which photos, how, and what came of it."""

    cases: Sequence[Case]
    setting: Setting
    results: Sequence[Result]

    @property
    def rows(self) -> list[Row]:
        """A row for each kind of damage and method."""
        return rows(self.results, self.cases)

    def by_kind(self) -> list[tuple[str, list[Row]]]:
        """The rows of each kind of damage."""
        return [(kind, list(some)) for kind, some in groupby(self.rows, lambda row: row.kind)]

    @property
    def photos(self) -> int:
        """How many photos there were, each counted once."""
        return len({case.photo.path for case in self.cases})

    def about(self) -> str:
        """What was measured, in a line."""
        kinds = list(dict.fromkeys(case.damage for case in self.cases))
        drawn = [kind for kind in kinds if kind != GIVEN]
        how = f"damaged by {_listed(drawn)}, seed {self.setting.seed}" if drawn else "as given"
        number = "1 photo" if self.photos == 1 else f"{self.photos} photos"
        cores = usable_cores()
        threads = self.setting.threads or cores
        return (
            f"{number}, {how}; grain off; {'1 thread' if threads == 1 else f'{threads} threads'} "
            f"on {'1 core' if cores == 1 else f'{cores} cores'} of {processor()}; "
            f"inpaint {__version__}"
        )


def cells(some: Sequence[Row]) -> list[list[Cell]]:
    """The figures of rows that are compared with each other; a dash where there is none.

    Figures that read the same as the best are the best too; where all do, none is.
    """
    found = [[Cell("-") for _ in COLUMNS] for _ in some]
    badness = {"most": lambda v: -v, "least": lambda v: v, "one": lambda v: abs(v - 1)}
    for at, column in enumerate(COLUMNS):
        values = [column.value(row) for row in some]
        known = [value for value in values if value is not None]
        best = None
        if column.best and len({column.form(value) for value in known}) > 1:
            best = column.form(min(known, key=badness[column.best]))
        for line, value in zip(found, values, strict=True):
            if value is not None:
                written = column.form(value)
                line[at] = Cell(written, written == best)
    return found


def table(bench: Bench, width: int | None = None) -> Table:
    """The table for a terminal of so many columns, or for a pipe. The best have a star."""
    kinds = bench.by_kind()
    shown = [
        at for at, column in enumerate(COLUMNS)
        if width is None or width >= 104 or column.heading not in _WIDE
    ]  # fmt: skip
    headings = [COLUMNS[at].heading.replace(" ", "\n", 1) for at in shown]
    made = report.plain_table(["damage", "method"] if len(kinds) > 1 else ["method"], headings)
    for kind, some in kinds:
        made.add_section()
        for row, line in zip(some, cells(some), strict=True):
            names = [kind, row.model] if len(kinds) > 1 else [row.model]
            figures = [
                Text(line[at].text + ("*" if line[at].best else " "), "bold" * line[at].best)
                for at in shown
            ]
            made.add_row(*(Text(report.shown(name)) for name in names), *figures)
    return made


def failures(bench: Bench) -> list[str]:
    """Why methods have no figures, a line each."""
    return [
        f"{report.shown(result.model)}: {report.shown(result.error)}"
        for result in bench.results
        if result.error
    ]


# ---- Files ---------------------------------------------------------------------------------------


def as_dict(bench: Bench, failed: Mapping[str, str]) -> dict[str, Any]:
    """All that was measured, for JSON; failed: why photos are not among those measured."""
    return {
        "version": __version__,
        "photos": bench.photos,
        "kinds": list(dict.fromkeys(case.damage for case in bench.cases)),
        **asdict(bench.setting),
        "grain": "off",
        "cores": usable_cores(),
        "processor": processor(),
        "failed_photos": dict(failed),
        "rows": [_row(row) for row in bench.rows],
        "runs": [
            {
                "photo": str(run.case.photo.path),
                "kind": run.case.damage,
                "model": result.model,
                "device": result.device,
                "scores": run.scores.to_dict(),
                "seconds": list(run.seconds),
                "megapixels": run.megapixels,
                "peak_bytes": run.peak,
                "network_pixels": run.network_pixels,
            }
            for result in bench.results
            for run in result.runs
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    if row.error:
        return {"kind": row.kind, "model": row.model, "status": _status(row), "error": row.error}
    return {
        "kind": row.kind,
        "model": row.model,
        "status": _status(row),
        "photos": row.photos,
        "scores": row.scores.to_dict() if row.scores else None,
        "seconds_per_megapixel": row.seconds,
        "spread": row.spread,
        "peak_bytes": row.peak,
        "model_bytes": row.size,
        "macs_per_pixel": row.macs,
    }


def markdown(bench: Bench) -> str:
    """A table for each kind of damage, the best in bold."""
    parts = [f"{_escaped(bench.about())}."]
    for kind, some in bench.by_kind():
        heads = ["method", *(column.heading for column in COLUMNS)]
        lines = [
            f"| {' | '.join(heads)} |",
            f"| --- |{' ---: |' * len(COLUMNS)}",
        ]
        for row, line in zip(some, cells(some), strict=True):
            figures = [f"**{cell.text}**" if cell.best else cell.text for cell in line]
            lines.append(f"| {' | '.join([_escaped(row.model), *figures])} |")
        parts.append(
            "\n".join([*([f"**{kind}**", ""] if len(bench.by_kind()) > 1 else []), *lines])
        )
    notes = [f"- {_escaped(line)}" for line in failures(bench)]
    if notes:
        parts.append("\n".join(["Not measured:", "", *notes]))
    parts.append(LEGEND)
    return "\n\n".join(parts) + "\n"


#: What the figures are.
LEGEND = (
    "Scores are means over the photos; texture is the fill's fine detail as a share of the "
    "original's, best at 1. s/MP: seconds a megapixel of one restore, the median over the photos; "
    "spread: how far apart the middle half of the restores lie, as a share of that. Peak: most "
    "memory of the method's own process, Python and the photo included. GMAC/MP: "
    "multiply-accumulates of the network for a megapixel of photo with this damage, in 10\u2079."
)


def _escaped(line: str) -> str:
    """A line of Markdown that says what it says, in a table too."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", report.shown(line))


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def processor() -> str:
    """What the processor is called."""
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine() or os.name


# ---- Pictures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """One state of a photo as JPEG files: a detail of it as it is, and the whole made small."""

    detail: bytes
    whole: bytes


@dataclass
class Strip:
    """The pictures of one case, by what they show, and where in the photo the detail lies: left,
    top, width, height, of a photo of this width and height, all in pixels."""

    case: Case
    place: tuple[int, int, int, int]
    size: tuple[int, int]
    damaged: float
    icc_profile: bytes
    before: Picture
    original: Picture
    restored: dict[str, Picture] = field(default_factory=dict)


class Gallery:
    """The pictures of the first MOST_SHOWN of the cases, evenly spaced, collected as they come."""

    def __init__(self, cases: Sequence[Case]):
        number = min(MOST_SHOWN, len(cases))
        self._wanted = {cases[at * len(cases) // number] for at in range(number)}
        self.strips: dict[Case, Strip] = {}

    def open(self, case: Case, opened: Damaged) -> None:
        """A case as it is before it is restored."""
        if case not in self._wanted:
            return
        place = densest(opened.mask, DETAIL)
        height, width = opened.mask.shape
        self.strips[case] = Strip(
            case, place, (width, height), float(opened.mask.mean()), opened.icc_profile,
            _picture(opened.pixels, place, opened.icc_profile),
            _picture(opened.reference, place, opened.icc_profile),
        )  # fmt: skip

    def add(self, model: str, case: Case, pixels: Pixels) -> None:
        """A case as a method restored it."""
        strip = self.strips.get(case)
        if strip:
            strip.restored[model] = _picture(pixels, strip.place, strip.icc_profile)


def densest(mask: Mask, side: int) -> tuple[int, int, int, int]:
    """Where the most damage lies in a square of `side` px: left, top, width, height.

    Smaller where the photo is; of equal places the one nearest to the photo's middle.
    """
    height, width = mask.shape
    down, across = min(side, height), min(side, width)
    # Sums over windows from those over all rectangles from the corner.
    sums = cv2.integral(np.ascontiguousarray(mask).view(np.uint8))
    damage = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across]
    damage += sums[:-down, :-across]
    tops, lefts = np.nonzero(damage == damage.max())
    far = np.hypot(tops - (height - down) / 2, lefts - (width - across) / 2)
    nearest = int(far.argmin())
    return int(lefts[nearest]), int(tops[nearest]), across, down


def _picture(pixels: Pixels, place: tuple[int, int, int, int], icc_profile: bytes) -> Picture:
    left, top, across, down = place
    height, width = pixels.shape[:2]
    scale = min(1.0, WHOLE / max(height, width))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    metadata = Metadata(icc_profile=icc_profile if len(icc_profile) <= 4096 else b"")

    def file(part: Pixels, size: tuple[int, int]) -> bytes:
        shown = Photo(reduced(part, *size), metadata=metadata)
        return encode(shown, ".jpg", "picture", quality=_QUALITY)

    detail = pixels[top : top + down, left : left + across]
    return Picture(file(detail, (across, down)), file(pixels, small))


# ---- The page ------------------------------------------------------------------------------------


def page(bench: Bench, gallery: Gallery, *, made: datetime | None = None) -> str:
    """All of it as HTML. made: when, as the page says it; now by default."""
    body = f"""<header>
<h1>Methods compared</h1>
<p class="made">{made_by(made or datetime.now().astimezone())}</p>
<p class="about-run">{text(bench.about())}</p>
</header>
<main>
{"".join(_kind(kind, some) for kind, some in bench.by_kind())}
<p class="legend">{text(LEGEND)}</p>
{_strips(bench, gallery)}</main>
{_LARGE}"""
    return document(
        title="Methods compared", styles=["sheet.css", "bench.css"], script="bench.js", body=body
    )


_HOW_TO_READ = (
    "Better is up, faster is left. No method is both better and faster than one on the line."
)


def _kind(kind: str, some: Sequence[Row]) -> str:
    """The table and the plot of one kind of damage."""
    heads = "".join(f'<th scope="col">{text(column.heading)}</th>' for column in COLUMNS)
    lines = "".join(
        f'<tr class="{_status(row)}">'
        f'<th scope="row">{text(row.model)}</th>'
        f"{_figures(row, line)}</tr>\n"
        for row, line in zip(some, cells(some), strict=True)
    )
    points = [
        Point(row.model, row.seconds, row.scores.hole_psnr)
        for row in some
        if row.seconds and row.scores and row.scores.hole_psnr is not None
    ]
    drawn = ""
    if points:
        drawn = (
            '<figure class="plot"><div tabindex="0" role="region" aria-label="Quality and time">\n'
            f"{plot(points, f'Quality against time, {kind}')}</div>\n"
            f"<figcaption>{_HOW_TO_READ}</figcaption></figure>\n"
        )
    heading = kind.capitalize() if kind != GIVEN else "Damage as given"
    return (
        f"<section>\n<h2>{text(heading)}</h2>\n"
        f'<div class="list figures" tabindex="0" role="region" aria-label="Figures, {text(kind)}">'
        f'<table>\n<thead><tr><th scope="col">method</th>{heads}</tr></thead>\n'
        f"<tbody>\n{lines}</tbody>\n</table></div>\n{drawn}</section>\n"
    )


def _figures(row: Row, line: Sequence[Cell]) -> str:
    if row.error:
        return f'<td class="error" colspan="{len(COLUMNS)}">{text(row.error)}</td>'
    return "".join(
        f"<td><b>{cell.text}</b></td>" if cell.best else f"<td>{cell.text}</td>" for cell in line
    )


def _status(row: Row) -> str:
    return "failed" if row.error else "measured"


def _strips(bench: Bench, gallery: Gallery) -> str:
    shown = [gallery.strips[case] for case in bench.cases if case in gallery.strips]
    if not shown:
        return ""
    figures = {
        (result.model, run.case): f"{run.scores.hole_psnr:.1f} dB"
        for result in bench.results
        for run in result.runs
        if run.scores.hole_psnr is not None
    }
    left = len(bench.cases) - len(shown)
    more = f" {len(shown)} of {len(bench.cases)} are shown, evenly spaced." if left else ""
    return (
        "<section>\n<h2>Photos</h2>\n"
        f"<p>Where the damage is densest, pixel for pixel.{more}"
        '<span class="how"> Click a picture to see it large.</span></p>\n'
        f'<ol class="strips">\n{"".join(_strip(one, figures) for one in shown)}</ol>\n</section>\n'
    )


def _strip(strip: Strip, figures: Mapping[tuple[str, Case], str]) -> str:
    case = strip.case
    name = text(report.shown(case.photo.path))
    width, height = strip.size
    left, top, across, down = strip.place
    notes = {model: figures.get((model, case), "") for model in strip.restored}
    numbers = {model: float(note.split()[0]) for model, note in notes.items() if note}
    most = max(numbers.values(), default=None)
    tiles = [("damaged", strip.before, "", False)]
    tiles += [
        (model, picture, notes[model], len(numbers) > 1 and numbers.get(model) == most)
        for model, picture in strip.restored.items()
    ]
    tiles.append(("original", strip.original, "", False))
    facts = {"damage": case.damage, "damaged": report.percent(strip.damaged),
             "size": f"{width} x {height} px"}  # fmt: skip
    listed = "".join(
        f"<div><dt>{key}</dt> <dd>{text(value)}</dd></div>" for key, value in facts.items()
    )
    details = "".join(_tile(name, tile, tile[1].detail) for tile in tiles)
    where = wholes = ""
    if (across, down) != strip.size:
        where = (
            f'<figure class="where"><div><img alt="{name}, whole" src="{jpeg(strip.before.whole)}">'
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="shade" x="{left}" y="{top}" width="{across}" height="{down}"/>'
            f'<rect x="{left}" y="{top}" width="{across}" height="{down}"/></svg></div>'
            "<figcaption>where</figcaption></figure>\n"
        )
        wholes = (
            '<details><summary>Whole pictures</summary><div class="tiles whole">\n'
            f"{''.join(_tile(name, tile, tile[1].whole) for tile in tiles)}</div></details>"
        )
    return (
        f'<li class="strip"><h3 class="name">{name}</h3>\n<dl>{listed}</dl>\n'
        f'<div class="tiles">\n{where}{details}</div>\n'
        f"{wholes}</li>\n"
    )


def _tile(name: str, tile: tuple[str, Picture, str, bool], data: bytes) -> str:
    what, _, note, best = tile
    label = text(what)
    said = f" <span>{text(note)}</span>" if note else ""
    return (
        f'<figure class="tile{" best" if best else ""}"><button type="button" disabled>'
        f'<img alt="{name}, {label}" src="{jpeg(data)}"></button>'
        f"<figcaption><b>{label}</b>{said}</figcaption></figure>\n"
    )


#: Where the script shows one picture large, and others of the same photo in its place.
_LARGE = """<dialog aria-labelledby="large-name">
<div class="room"><img alt=""></div>
<div class="names" role="group" aria-label="Show"></div>
<div class="caption"><div class="about"></div>
<div class="steps"><button type="button" value="-1" aria-label="Previous photo">\u2191</button>
<button type="button" value="1" aria-label="Next photo">\u2193</button>
<button type="button" value="0">Close</button></div></div>
<p class="keys"><kbd>\u2190</kbd> <kbd>\u2192</kbd> other methods
<span><kbd>\u2191</kbd> <kbd>\u2193</kbd> previous, next photo</span>
<span><kbd>Esc</kbd> close</span></p>
</dialog>"""
