"""A contact sheet: what was done to a folder of photos, as one HTML page to look through.

The page is one file. Pictures, style and script are inside it, and its Content-Security-Policy
forbids the browser to load or run anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Pixels
from inpaintcli.photo import Metadata, Photo, encode
from inpaintcli.webpage import document, jpeg, made_by, text

#: So many photos are shown with pictures; what comes after them is listed.
MOST_SHOWN = 200
#: The longest side of a picture in the sheet, in pixels.
SIDE = 640
#: Two pictures of a photo take at most so many bytes, and a full sheet, in base64, 37 MB.
PAIR_BYTES = 140_000

#: JPEG qualities, of which the first that stays below PAIR_BYTES is taken; the last does for noise.
_QUALITIES = (82, 70, 55, 35, 10)
#: Every status, in the order in which they are counted.
_STATUSES = ("restored", "copied", "detected", "planned", "skipped", "failed")


@dataclass(frozen=True)
class Row:
    """One photo of the sheet.

    name: what it is called. status: "restored", "copied", "skipped", "failed", "detected" or
    "planned". facts: short values by their names, such as {"damaged": "3.91%"}. note: what else
    there is to say; error: the reason of a failure. before, after: JPEG files of the same size, as
    `pictures` makes them.
    """

    name: str
    status: str
    facts: Mapping[str, str]
    note: str = ""
    error: str = ""
    before: bytes | None = None
    after: bytes | None = None


# ---- Pictures ------------------------------------------------------------------------------------


def pictures(before: Pixels, after: Pixels, icc_profile: bytes = b"") -> tuple[bytes, bytes]:
    """Two JPEG files for a `Row`, of the same size, together at most PAIR_BYTES long.

    before, after: uint8 or uint16, (h, w, 1 to 4), RGB order. They are made smaller, never larger,
    until the longest side is SIDE; what is transparent becomes white. icc_profile: that of the
    photo; a long one, as some scanners write them, is left out.
    """
    height, width = before.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    metadata = Metadata(icc_profile=icc_profile if len(icc_profile) <= 4096 else b"")
    small = [Photo(reduced(one, across, down), metadata=metadata) for one in (before, after)]
    for quality in _QUALITIES:
        files = [encode(one, ".jpg", "thumbnail", quality=quality) for one in small]
        if sum(map(len, files)) <= PAIR_BYTES:
            break
    return files[0], files[1]


def reduced(pixels: Pixels, width: int, height: int) -> Pixels:
    """The mean of each block of pixels, over white, as uint8 (height, width, 1 or 3)."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    most = np.iinfo(pixels.dtype).max
    if pixels.shape[2] % 2:
        mean = _resized(pixels, width, height)
    else:
        colour, alpha = pixels[..., :-1], pixels[..., -1:]
        # Colours count as much as they are opaque: hidden ones must not bleed into seen ones.
        opacity = np.repeat(alpha, colour.shape[2], axis=2)
        weighted: Pixels = np.asarray(
            cv2.multiply(np.ascontiguousarray(colour), opacity, scale=1 / most), pixels.dtype
        ).reshape(colour.shape)
        mean = _resized(weighted, width, height) + most - _resized(alpha, width, height)
    small: Pixels = np.clip(np.rint(mean * (255 / most)), 0, 255).astype(np.uint8)
    return small


def _resized(pixels: Pixels, width: int, height: int) -> NDArray[np.float64]:
    resized = cv2.resize(
        np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_AREA
    )
    return np.asarray(resized, np.float64).reshape(height, width, -1)


# ---- The page ------------------------------------------------------------------------------------


def page(rows: Sequence[Row], *, title: str, made: datetime | None = None) -> str:
    """The sheet as HTML, which can be encoded as UTF-8 whatever names and messages hold.

    Failures come first, then the first MOST_SHOWN photos that have pictures, then a list of all
    others. made: when, as the page says it; now by default.
    """
    made = made or datetime.now().astimezone()
    failed = [row for row in rows if row.status == "failed"]
    done = [row for row in rows if row.status != "failed"]
    shown = [row for row in done if row.before or row.after][:MOST_SHOWN]
    kept = set(map(id, shown))
    listed = [row for row in done if id(row) not in kept]
    unseen = sum(1 for row in listed if row.before or row.after)
    body = f"""<header>
<h1>{text(title)}</h1>
<p class="made">{made_by(made)}</p>
{_counts(rows)}
</header>
<main>
{_failures(failed)}{_cards(shown)}{_list(listed, unseen)}<p class="none" role="status"></p>
</main>
{_LARGE}"""
    return document(title=title, styles=["sheet.css"], script="sheet.js", body=body)


#: Where the script shows one photo as large as the window has room for.
_LARGE = """<dialog aria-labelledby="large-name">
<div class="room"><div class="pair"></div></div>
<div class="caption"><div class="about"></div>
<div class="steps"><button type="button" value="-1" aria-label="Previous photo">\u2191</button>
<button type="button" value="1" aria-label="Next photo">\u2193</button>
<button type="button" value="0">Close</button></div></div>
<p class="keys"><kbd>\u2190</kbd> <kbd>\u2192</kbd> compare
<span><kbd>\u2191</kbd> <kbd>\u2193</kbd> previous, next</span>
<span><kbd>Esc</kbd> close</span></p>
</dialog>"""


def _counts(rows: Sequence[Row]) -> str:
    """How many photos have which status: buttons that the script makes filters of."""
    counts = Counter(row.status for row in rows)
    known = sorted(counts, key=lambda one: (*_STATUSES, one).index(one))
    buttons = "".join(
        f'<button type="button" disabled value="{text(status)}" aria-pressed="{pressed}">'
        f"<b>{count}</b> {text(status or noun)}</button>\n"
        for status, count, pressed in [
            ("", len(rows), "true"),
            *((status, counts[status], "false") for status in known),
        ]
        for noun in ["photo" if count == 1 else "photos"]
    )
    return (
        f'<div class="sift"><div class="counts" role="group" aria-label="Show">\n{buttons}</div>\n'
        '<input type="search" placeholder="Find a name" aria-label="Find a name" disabled></div>'
    )


def _failures(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    items = "".join(
        f'<li data-status="failed"><span class="name">{text(row.name)}</span> '
        f'<span class="error">{text(row.error.removeprefix(f"{row.name}: "))}</span></li>\n'
        for row in rows
    )
    return f'<section class="failures">\n<h2>Failed</h2>\n<ul>\n{items}</ul>\n</section>\n'


def _cards(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    return (
        "<section>\n<h2>Photos</h2>\n"
        "<p>Before is on the left, after on the right."
        '<span class="how"> Drag the line between them; click a photo to see it large.</span>'
        "</p>\n"
        f'<ol class="cards">\n{"".join(map(_card, rows))}</ol>\n</section>\n'
    )


def _card(row: Row) -> str:
    name = text(row.name)
    seen = {"before": row.before, "after": row.after}
    if row.before == row.after:
        del seen["before"]
    # Copied, there is nothing to compare.
    split = len({row.before, row.after, None}) == 3
    kind = "pair split" if split else "pair"
    images = "".join(
        f'<img class="{when}" alt="{name}, {when}" draggable="false" src="{jpeg(data)}">\n'
        for when, data in seen.items()
        if data
    )
    slider = (
        '<input type="range" min="0" max="100" value="50" step="any" '
        f'aria-label="Before and after of {name}">\n'
        if split
        else ""
    )
    facts = "".join(
        f"<div><dt>{text(key)}</dt> <dd>{text(value)}</dd></div>"
        for key, value in row.facts.items()
    )
    note = f'<p class="note">{text(row.note)}</p>\n' if row.note else ""
    return (
        f'<li class="card" data-status="{text(row.status)}">\n'
        f'<div class="mat"><div class="{kind}">\n{images}{slider}'
        f'<button type="button" class="enlarge" aria-label="Enlarge {name}"></button></div></div>\n'
        f'<h3 class="name">{name}</h3>\n'
        f'<dl><div class="status"><dt>status</dt> <dd>{text(row.status)}</dd></div>{facts}</dl>\n'
        f"{note}</li>\n"
    )


def _list(rows: Sequence[Row], unseen: int) -> str:
    """All photos without pictures; `unseen` of them have some that are too many to show."""
    if not rows:
        return ""
    keys = list(dict.fromkeys(key for row in rows for key in row.facts))
    noted = any(row.note for row in rows)
    headings = ["photo", "status", *keys, *(["note"] if noted else [])]
    head = "".join(f'<th scope="col">{text(heading)}</th>' for heading in headings)
    body = "".join(
        f'<tr data-status="{text(row.status)}"><th scope="row" class="name">{text(row.name)}</th>'
        + "".join(
            f"<td>{text(cell)}</td>"
            for cell in [
                row.status,
                *(row.facts.get(key, "") for key in keys),
                *([row.note] if noted else []),
            ]
        )
        + "</tr>\n"
        for row in rows
    )
    why = (
        f"<p>A sheet shows pictures of {MOST_SHOWN} photos; "
        f"{'one more is' if unseen == 1 else f'{unseen} more are'} listed here.</p>\n"
        if unseen
        else ""
    )
    return (
        f'<section>\n<h2>Without pictures</h2>\n{why}<div class="list" tabindex="0" role="region" '
        f'aria-label="Photos without pictures"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n</section>\n"
    )
