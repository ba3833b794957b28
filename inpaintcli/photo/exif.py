"""What of EXIF goes from one file to the next."""

from __future__ import annotations

from typing import Any

from PIL import Image

#: The EXIF and GPS directories, which the first one points to.
DIRECTORIES = (34665, 34853)
_INTEROP = 40965
#: The tags of EXIF's first directory that speak of the photo and not of its encoding: name,
#: description, camera, page, resolution, software, date, artist, host, rating, copyright, the EXIF
#: and GPS directories, and what Windows calls title, comment, author, keywords and subject.
_KEPT_TAGS = frozenset(
    {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432}
    | {*DIRECTORIES, 40091, 40092, 40093, 40094, 40095}
)


def kept(exif: Image.Exif) -> bytes:
    """What speaks of the photo, as `Metadata.exif`: the thumbnail, for one, does not."""
    block = Image.Exif()
    block.endian = exif.endian  # Maker notes rely on it.
    try:
        for tag in _KEPT_TAGS & set(exif):
            if tag in DIRECTORIES:
                block[tag] = directory(exif, tag)
            else:
                block[tag] = exif[tag]
        return block.tobytes() if len(block) else b""
    except Exception:  # Broken EXIF is no reason to refuse the picture.
        return b""


def directory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """One of `DIRECTORIES`, with the one on interoperability in it."""
    entries = dict(exif.get_ifd(tag))
    # What is there is but an offset into the file that was read.
    if entries.pop(_INTEROP, None) is not None and (inner := exif.get_ifd(_INTEROP)):
        entries[_INTEROP] = dict(inner)
    return entries


def parsed(block: bytes) -> Image.Exif:
    """A file's EXIF, or `Metadata.exif`, as Pillow holds it; empty if it cannot be parsed."""
    exif = Image.Exif()
    try:
        if block:
            exif.load(block)
    except Exception:  # As in `kept`.
        return Image.Exif()
    return exif


def dpi(across: Any, down: Any) -> tuple[float, float] | None:
    """Pixels per inch, None where they are nonsense or missing."""
    try:
        both = float(across), float(down)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return both if all(1 <= value <= 65535 for value in both) else None
