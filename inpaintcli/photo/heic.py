"""HEIC, by the package pillow-heif, which is an extra."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from inpaintcli.errors import PhotoError
from inpaintcli.photo import exif, extra, isobmff, orientation
from inpaintcli.photo.picture import Metadata, Photo, check_size

BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
)  # fmt: skip
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def decode(data: bytes, limit: int) -> Photo:
    """The photo; only 8 bits per channel are read."""
    pillow_heif = extra.package("pillow_heif", "HEIC")
    if not isobmff.is_whole(data):
        raise PhotoError("a HEIC that is cut short")
    # Broken files have its threads wait for each other now and then.
    pillow_heif.options.DECODE_THREADS = 1
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    info, (width, height) = file.info, file.size
    check_size(width, height, limit)
    if len(file) > 1:
        raise PhotoError("several pictures are not supported: save one of them as PNG first")
    if (bits := max(info["bit_depth"], isobmff.bits(data))) > 8:
        raise PhotoError(f"{bits}-bit HEIC is not supported: convert it to 16-bit PNG first")
    if file.premultiplied_alpha:
        raise PhotoError("premultiplied alpha is not supported: convert it to PNG first")
    pixels = np.asarray(file).reshape(height, -1, len(file.mode))[:, :width]
    block = exif.parsed(info.get("exif") or b"")
    # The codec turns the picture upright; what EXIF says of that is not to be followed.
    metadata = Metadata(
        exif=exif.kept(block),
        icc_profile=info.get("icc_profile") or b"",
        xmp=orientation.upright_xmp(info.get("xmp") or b""),
        dpi=exif.dpi(block.get(282), block.get(283)),
    )
    return Photo(np.ascontiguousarray(pixels), "HEIC", metadata)


def encode(photo: Photo, quality: int | None) -> bytes:
    """Lossless, or of this quality."""
    pillow_heif = extra.package("pillow_heif", "HEIC")
    meta = photo.metadata
    # RGB is kept as it is in place of luma and chroma, which would be rounded.
    options: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    if quality is not None:
        options = {"quality": quality, "chroma": 444 if quality >= 90 else 420}
    told = {"exif": meta.exif, "xmp": meta.xmp, "icc_profile": meta.icc_profile}
    options |= {name: value for name, value in told.items() if value}
    pixels = photo.pixels
    with io.BytesIO() as file:
        pillow_heif.encode(
            _MODES[pixels.shape[2]],
            (photo.width, photo.height),
            np.ascontiguousarray(pixels).data,
            file,
            **options,
        )
        return file.getvalue()
