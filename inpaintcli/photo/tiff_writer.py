"""TIFF as it is written: deflated, little-endian, a page for each photo."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import deflate, exif, iptc, palette
from inpaintcli.photo.picture import Metadata, Photo

_HEAD = b"II*\0\0\0\0\0"
#: Bytes of pixels in a strip, about.
_STRIP = 2**20


class Pages:
    """A TIFF to be: each photo is packed as it comes, and its pixels are not kept."""

    def __init__(self) -> None:
        self._file, self._link = io.BytesIO(), 0

    def add(self, photo: Photo) -> None:
        """A further page; the photo's infrared is one more sample, or on a page after it."""
        self._link = _write_photo(self._file, photo, self._link)

    def data(self) -> bytes:
        """The whole file."""
        return self._file.getvalue()


def _write_photo(file: io.BytesIO, photo: Photo, link: int) -> int:
    """Write a page, or two, which the page with its link there is followed by.

    Returns where the link of the last page is.
    """
    pixels, meta = photo.pixels, photo.metadata
    ifd = _directory(meta)
    if pixels.shape[2] % 2 == 0:
        ifd[338] = 2  # Straight alpha
    infrared = meta.infrared
    apart = meta.infrared_page or photo.alpha is not None
    if infrared is not None and not apart and infrared.dtype == pixels.dtype:
        ifd[338] = 0  # No alpha
        return _write_page(file, ifd, np.dstack([pixels, infrared]), photo.colour.shape[2], link)

    numbers = palette.numbered(photo)
    if numbers is None:
        link = _write_page(file, ifd, pixels, photo.colour.shape[2], link)
    else:
        link = _write_numbers(file, ifd, numbers, meta, link)
    if infrared is not None:
        bare = ImageFileDirectory_v2(_HEAD)
        link = _write_page(file, bare, infrared[..., None], 1, link)
    return link


def _directory(meta: Metadata) -> Any:
    """A page's directory with what tells of the photo."""
    ifd = ImageFileDirectory_v2(_HEAD)
    block = exif.parsed(meta.exif)
    for tag in block:
        ifd[tag] = exif.directory(block, tag) if tag in exif.DIRECTORIES else block[tag]
    if meta.dpi is not None:
        ifd[282], ifd[283], ifd[296] = *meta.dpi, 2
    if meta.icc_profile:
        ifd[34675] = meta.icc_profile
    if meta.xmp:
        ifd[700] = meta.xmp
    records = iptc.iptc(meta.photoshop)
    for tag, type, value in ((33723, 7, records), (34377, 1, meta.photoshop)):
        if value:
            ifd.tagtype[tag], ifd[tag] = type, value
    return ifd


def _write_page(file: io.BytesIO, ifd: Any, pixels: Pixels, colours: int, link: int) -> int:
    """Write pixels, each as its difference to its left neighbour."""
    channels = pixels.shape[2]
    rows = max(1, _STRIP // pixels[0].nbytes)

    def packed(top: int) -> bytes:
        strip = pixels[top : top + rows].astype(pixels.dtype.newbyteorder("<"), order="C")
        strip[:, 1:] -= pixels[top : top + rows, :-1]
        return deflate.compress(strip.data)

    strips = list(deflate.in_order(packed, range(0, len(pixels), rows)))
    ifd[258] = (pixels.dtype.itemsize * 8,) * channels
    ifd[262] = 1 if colours == 1 else 2
    ifd[277], ifd[317] = channels, 2  # Horizontal differences
    return _write_strips(file, ifd, pixels.shape[:2], rows, strips, link)


def _write_numbers(
    file: io.BytesIO, ifd: Any, numbers: palette.Numbers, meta: Metadata, link: int
) -> int:
    """Write a palette's numbers, or grey of few bits."""
    bits = palette.depth(meta)
    ifd[258], ifd[262], ifd[277] = bits, 1, 1
    if meta.palette is not None:
        colours = np.zeros((2**bits, 3), np.uint16)
        entries = palette.entries(meta.palette)
        colours[: len(entries)] = entries * np.uint16(257)
        ifd[262], ifd[320] = 3, tuple(colours.T.ravel().tolist())
    rows = max(1, _STRIP // numbers.shape[1])
    strips = [
        deflate.compress(palette.packed(numbers[top : top + rows], bits).data)
        for top in range(0, len(numbers), rows)
    ]
    return _write_strips(file, ifd, numbers.shape, rows, strips, link)


def _write_strips(
    file: io.BytesIO, ifd: Any, shape: tuple[int, ...], rows: int, strips: list[bytes], link: int
) -> int:
    """Write a page of deflated strips, and where it is into the link of the page before it."""
    sizes = [len(strip) for strip in strips]
    file.write(b"\0" * (file.tell() % 2))
    start = file.tell()
    if start + sum(sizes) > 2**32 - 2**24:
        raise PhotoError("more than 4 GB, which a TIFF cannot hold: write PNG")
    ifd[256], ifd[257] = shape[1], shape[0]
    ifd[259] = 8  # Deflate
    ifd[278], ifd[284] = rows, 1
    # The directory adds its own length to the offsets when it is saved.
    ifd.tagtype[273] = ifd.tagtype[279] = 4
    ifd[273], ifd[279] = tuple(int(n) for n in np.cumsum([0, *sizes[:-1]])), tuple(sizes)
    ifd.save(file)
    file.writelines(strips)
    if link:
        file.seek(link)
        file.write(struct.pack("<I", start))
        file.seek(0, io.SEEK_END)
    # Eight bytes are before the first page; a page is a count, its entries and the link.
    return max(8, start) + 2 + 12 * len(ifd)
