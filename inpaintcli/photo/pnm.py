"""PNM: PGM and PPM are read and written, PBM is read."""

from __future__ import annotations

import re

import numpy as np

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import pillow
from inpaintcli.photo.picture import Metadata, Photo, check_size

_SPACE = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P([2356])" + (_SPACE + rb"(\d+)") * 3 + rb"\s")


def decode(data: bytes, limit: int) -> Photo:
    """The photo; fewer than 16 bits, but more than 8, are stretched to 16."""
    header = _HEADER.match(data)
    if header is not None and int(header[4]) >= 256:
        return Photo(_deep(data, header, limit), "PPM")
    image = pillow.opened(data, "PPM", limit)
    bits = 1 if image.mode == "1" else 8
    return pillow.photo(pillow.shallow(image), "PPM", Metadata(bits=bits))


def _deep(data: bytes, header: re.Match[bytes], limit: int) -> Pixels:
    """The pixels of a PGM or PPM that has 16 bits per channel."""
    width, height, most = (int(header[k]) for k in (2, 3, 4))
    check_size(width, height, limit)
    if header[1] in b"23" or most > 65535:
        raise PhotoError("plain-text 16-bit PNM is not supported: convert it to PNG first")
    channels = 3 if header[1] == b"6" else 1
    raw = np.frombuffer(data, ">u2", height * width * channels, header.end())
    if most < 65535:
        raw = ((np.minimum(raw, most) * np.uint32(65535) + most // 2) // most).astype(np.uint16)
    return raw.astype(np.uint16).reshape(height, width, channels)


def encode(photo: Photo) -> bytes:
    """PGM for grey, PPM for colour, of 8 or 16 bits."""
    pixels = photo.pixels
    kind, most = (6 if pixels.shape[2] == 3 else 5), np.iinfo(pixels.dtype).max
    header = b"P%d\n%d %d\n%d\n" % (kind, photo.width, photo.height, most)
    return header + pixels.astype(pixels.dtype.newbyteorder(">"), copy=False).tobytes()
