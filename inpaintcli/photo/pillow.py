"""Pillow, as the modules of the formats use it: 8 bits per channel, and metadata."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import exif, orientation
from inpaintcli.photo.picture import Metadata, Palette, Photo, check_size

# `check_size` comes before any decoding; Pillow's own check would print a warning as well.
Image.MAX_IMAGE_PIXELS = None
# A large colour profile in a PNG is no attack.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
# What a codec thinks of a file reaches the user as one PhotoError or not at all.
warnings.filterwarnings("ignore", module=r"PIL\.")
for _codec in ("PIL", "tifffile"):
    logging.getLogger(_codec).setLevel(logging.CRITICAL + 1)

_MODE_NAMES = {
    "CMYK": "CMYK colour",
    "LAB": "Lab colour",
    "YCbCr": "YCbCr colour",
    "I": "32 bits per channel",
    "F": "floating point",
}


def opened(data: bytes, format: str, limit: int) -> ImageFile.ImageFile:
    """The picture, its size checked, nothing decoded; raises PhotoError if it is animated."""
    image = Image.open(io.BytesIO(data), formats=(format,))
    check_size(image.width, image.height, limit)
    if getattr(image, "n_frames", 1) > 1 and format != "JPEG":
        raise PhotoError("animations are not supported: save one frame as PNG first")
    return image


def shallow(image: ImageFile.ImageFile) -> Pixels:
    """What Pillow decodes: 8 bits per channel, without palette and transparent colour."""
    mode = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(image.mode, image.mode)
    if mode not in ("L", "LA", "RGB", "RGBA"):
        what = _MODE_NAMES.get(mode, f"mode {mode}")
        raise PhotoError(f"{what} is not supported: convert it to 8- or 16-bit RGB first")
    image.load()
    if image.has_transparency_data:
        mode = {"L": "LA", "RGB": "RGBA"}.get(mode, mode)
    whole = image if image.mode == mode else image.convert(mode)
    return np.asarray(whole).reshape(whole.height, whole.width, -1)


def palette(image: ImageFile.ImageFile) -> Palette | None:
    """The palette of a picture that has one."""
    colours = image.getpalette("RGB") if image.mode == "P" else None
    return None if colours is None else Palette(bytes(colours))


def metadata(image: ImageFile.ImageFile, **more: Any) -> Metadata:
    """What Pillow found in a file, its orientation to be undone; `more` goes in as it is."""
    block = image.getexif()
    xmp = image.info.get("xmp", b"")
    return Metadata(
        exif=exif.kept(block),
        icc_profile=image.info.get("icc_profile") or b"",
        xmp=orientation.upright_xmp(xmp.encode() if isinstance(xmp, str) else xmp),
        dpi=exif.dpi(*(image.info.get("dpi") or (block.get(282), block.get(283)))),
        orientation=orientation.known(block.get(274)),
        **more,
    )


def photo(pixels: Pixels, format: str, metadata: Metadata) -> Photo:
    """The photo, upright, of pixels as the file holds them."""
    return Photo(orientation.upright(pixels, metadata.orientation), format, metadata)


def saved(pixels: Pixels, format: str, **options: Any) -> bytes:
    """What Pillow makes of 8-bit pixels, (height, width, channels)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    with io.BytesIO() as file:
        image.save(file, format, **options)
        return file.getvalue()
