"""BMP."""

from __future__ import annotations

import struct

import numpy as np

from inpaintcli.errors import PhotoError
from inpaintcli.photo import palette, pillow
from inpaintcli.photo.picture import Photo


def decode(data: bytes, limit: int) -> Photo:
    """The photo."""
    image = pillow.opened(data, "BMP", limit)
    # Pillow turns a palette of greys into grey; the file says how deep it was.
    header, bits = struct.unpack_from("<I10xH", data, 14) if len(data) >= 30 else (0, 24)
    if header == 12:
        (bits,) = struct.unpack_from("<H", data, 24)
    shallow = bits if image.mode in ("1", "L", "P") and bits in (1, 2, 4) else 8
    found = pillow.palette(image)
    if found is not None and int(np.asarray(image).max()) >= len(found.colours) // 3:
        raise PhotoError("a BMP that is damaged, with colours beyond its palette")
    metadata = pillow.metadata(image, palette=found, bits=shallow)
    return pillow.photo(pillow.shallow(image), "BMP", metadata)


def encode(photo: Photo) -> bytes:
    """24 bits of colour, 8 of grey, or as few as the photo had, with its palette."""
    meta = photo.metadata
    numbers = palette.numbered(photo)
    bits = palette.depth(meta)
    if bits == 2:  # Hardly any program knows such a BMP.
        bits = 4
    if numbers is not None and meta.palette is not None:
        colours = palette.entries(meta.palette)
    elif numbers is not None:
        colours = np.repeat(palette.greys(bits)[:, None], 3, 1)
        if bits != meta.bits:
            numbers = numbers * np.uint8((2**bits - 1) // (2**meta.bits - 1))
    elif photo.pixels.shape[2] == 1:
        numbers, bits = photo.pixels[..., 0].astype(np.uint8, copy=False), 8
        colours = np.repeat(palette.greys(8)[:, None], 3, 1)
    else:
        bits, colours = 24, np.empty((0, 3), np.uint8)

    if numbers is None:
        rows = photo.pixels[..., ::-1].reshape(photo.height, -1)
    else:
        rows = palette.packed(numbers, bits)
    table = np.pad(colours[:, 2::-1], ((0, 0), (0, 1))).tobytes()
    across, down = (round(dpi / 0.0254) for dpi in meta.dpi or (0, 0))
    lines = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))[::-1]
    start = 54 + len(table)
    head = struct.pack("<2sI4xI", b"BM", start + lines.size, start)
    size = (photo.width, photo.height)
    info = (40, *size, 1, bits, 0, lines.size, across, down, len(colours), 0)
    return head + struct.pack("<IiiHHIIiiII", *info) + table + lines.tobytes()
