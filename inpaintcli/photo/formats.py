"""Which suffix stands for which format, and what each format can hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inpaintcli.errors import PhotoError
from inpaintcli.photo.picture import Photo

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".jxl": "JXL",
}
#: The lower-case suffixes that are read and written; HEIC and JPEG XL need packages of their own.
SUFFIXES = frozenset(_FORMATS)

#: The lower-case suffixes of pictures that other programs read: of raw files of cameras, of drawing
#: programs, of documents.
UNREAD = frozenset((
    ".arw", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".gif", ".hdr", ".ico", ".j2k", ".jp2", ".jpx",
    ".nef", ".orf", ".pdf", ".pef", ".psd", ".raf", ".rw2", ".srw", ".svg", ".tga", ".xcf",
))  # fmt: skip

#: Formats that can leave out what the eye hardly misses: these have a quality.
_LOSSY = ("JPEG", "WEBP", "AVIF", "HEIC", "JXL")
_MAX_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 32768, "HEIC": 32768}
_OPAQUE = ("JPEG", "BMP", "PPM")
_SHALLOW = ("JPEG", "BMP", "WEBP", "AVIF", "HEIC")


def is_photo_name(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like that of a photo, in upper or lower case."""
    return format_of(path) is not None


def is_unread_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like that of a picture in a format that is not read here."""
    return Path(path).suffix.lower() in UNREAD


def format_of(path: str | os.PathLike[str]) -> str | None:
    """The format that the name's suffix stands for, as `Photo.format` says it; None if unknown."""
    return _FORMATS.get(Path(path).suffix.lower())


def check_fits(photo: Photo | Sequence[Photo], path: Path, quality: int | None = None) -> None:
    """Check, before any work is done, that `write` would take the photo.

    Args:
        photo: Its shape, depth and colour profile count, not what the pixels show.
        path: Where it is to go: the suffix counts; the file system is not asked.
        quality: As `encode` takes it.

    Raises:
        PhotoError: As `encode` does before it encodes.
    """
    fitting_format(photo, path.suffix, str(path), quality)


def fitting_format(
    photos: Photo | Sequence[Photo], suffix: str, name: str, quality: int | None
) -> str:
    """The format that the suffix names; raises PhotoError where it cannot hold the photos.

    Raises ValueError for a quality that is not 1 to 100, and where there is no photo.
    """
    photos = [photos] if isinstance(photos, Photo) else list(photos)
    if not photos:
        raise ValueError("there is no photo to write")
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, not {quality}")
    suffix = suffix.lower()
    known = " ".join(sorted(SUFFIXES))
    if not suffix:
        raise PhotoError(f"{name}: has no suffix to tell the format: add one of {known}")
    if suffix not in SUFFIXES:
        raise PhotoError(f"{name}: no known format ends in '{suffix}': use one of {known}")
    format = _FORMATS[suffix]
    problem = None
    if len(photos) > 1 and format != "TIFF":
        problem = f"{format} has no pages, the photo has {len(photos)}: write TIFF"
    elif quality is not None and format not in _LOSSY:
        problem = f"{format} is lossless: leave --quality"
    for photo in photos:
        problem = problem or _misfit(photo, suffix, format)
    if problem is None:
        return format
    raise PhotoError(f"{name}: {problem}")


def _misfit(photo: Photo, suffix: str, format: str) -> str | None:
    """Why the format cannot hold the photo, None if it can."""
    deep, channels = photo.pixels.dtype == np.uint16, photo.pixels.shape[2]
    if photo.alpha is not None and format in _OPAQUE:
        return f"{format} has no transparency: write PNG, TIFF or WebP"
    if deep and format in _SHALLOW:
        return f"{format} has 8 bits per channel, the photo has 16: write PNG or TIFF"
    if deep and format == "JXL" and channels != 1:
        return "JXL is written with 8 bits per colour, the photo has 16: write PNG or TIFF"
    if format == "JXL" and not is_srgb(photo.metadata.icc_profile):
        return "JXL is written without the photo's colour profile: write PNG or TIFF"
    if suffix == ".pgm" and channels >= 3:
        return "PGM is grey, the photo is not: write PPM or PNG"
    if max(photo.height, photo.width) > (limit := _MAX_SIDE.get(format, 2**31)):
        return f"{format} is at most {limit} pixels wide and high: write PNG or TIFF"
    return None


def is_srgb(icc_profile: bytes) -> bool:
    """Whether the profile, if there is one, calls itself sRGB, or grey with sRGB's curve."""
    names = ("sRGB", "RGB_D65_SRG", "Gra_D65_Rel_SRG")
    return not icc_profile or any(
        name.encode(code) in icc_profile for name in names for code in ("ascii", "utf-16-be")
    )
