"""AVIF."""

from __future__ import annotations

from typing import Any

from inpaintcli.errors import PhotoError
from inpaintcli.photo import isobmff, pillow
from inpaintcli.photo.picture import Photo

BRANDS = frozenset({b"avif", b"avis"})


def decode(data: bytes, limit: int) -> Photo:
    """The photo; Pillow would cut 10 and 12 bits to 8, so they are refused."""
    if not isobmff.is_whole(data):
        raise PhotoError("an AVIF that is cut short")
    if (bits := isobmff.bits(data)) > 8:
        raise PhotoError(f"{bits}-bit AVIF is not supported: convert it to 16-bit PNG first")
    image = pillow.opened(data, "AVIF", limit)
    return pillow.photo(pillow.shallow(image), "AVIF", pillow.metadata(image))


def encode(photo: Photo, quality: int | None) -> bytes:
    """Of this quality, or of the best that Pillow has: grey exact, colours off by 3 at most."""
    meta = photo.metadata
    grey = photo.pixels.shape[2] == 1
    options: dict[str, Any] = {"quality": 100 if quality is None else quality}
    if not grey:
        options["subsampling"] = "4:4:4" if options["quality"] >= 90 else "4:2:0"
    return pillow.saved(
        photo.pixels,
        "AVIF",
        **options,
        icc_profile=meta.icc_profile,
        exif=meta.exif,
        xmp=meta.xmp,
    )
