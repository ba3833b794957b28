"""WebP."""

from __future__ import annotations

from typing import Any

from inpaintcli.errors import PhotoError
from inpaintcli.photo import pillow
from inpaintcli.photo.picture import Photo


def decode(data: bytes, limit: int) -> Photo:
    """The photo; WebP has neither grey nor more than 8 bits."""
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise PhotoError("a WebP that is cut short")
    image = pillow.opened(data, "WEBP", limit)
    return pillow.photo(pillow.shallow(image), "WEBP", pillow.metadata(image))


def encode(photo: Photo, quality: int | None) -> bytes:
    """Lossless, or of this quality; its lossy kind is always 4:2:0."""
    meta = photo.metadata
    # Colours under full transparency are pixels too.
    options: dict[str, Any] = {"lossless": True, "exact": True}
    if quality is not None:
        options = {"quality": quality, "method": 6}
    return pillow.saved(
        photo.pixels,
        "WEBP",
        **options,
        icc_profile=meta.icc_profile,
        exif=meta.exif,
        xmp=meta.xmp,
    )
