"""JPEG in, JPEG out: what is undamaged keeps the coefficients that its file has.

A JPEG stores each component in blocks of 8 x 8 quantised DCT coefficients. Encoding a whole picture
anew rounds all of them once more. Here only the blocks that hold a filled pixel are made anew, with
the file's own quantisation tables; jpeglib reads and writes the coefficients of all.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats, Mask, Pixels, size
from inpaintcli.files import temporary_folder
from inpaintcli.silence import silence

#: (rows of blocks, columns of blocks, 8, 8), quantised.
Coefficients = NDArray[np.int16]


class NotPatchable(ValueError):  # noqa: N818 (nothing failed: the picture is to be written whole)
    """A JPEG whose blocks cannot be kept; the text is the reason, without the file's name."""


def patched(source: bytes, pixels: Pixels, filled: Mask) -> bytes:
    """The JPEG `source` with its filled pixels replaced.

    Blocks without a filled pixel keep their coefficients. In the others, samples without a filled
    pixel keep the value that they had before rounding, and the block is quantised anew with the
    file's tables: its undamaged pixels change by what quantisation loses. With subsampled chroma a
    block covers 16 pixels where a luma block covers 8. Decoders that interpolate chroma look one
    chroma sample over a block's edge, so that in the row or column of pixels next to such a block
    they may show another colour, by at most a quarter of what changed inside.

    Table, sampling, component names, and whether it is progressive are the source's. Huffman
    tables are optimised, the order of scans is the library's, and restart markers are lost.

    APPn and COM segments stay byte for byte and in order, but without what shows the damage: the
    thumbnails of JFIF and EXIF, and the further pictures of an MPO with the MPF segment that lists
    them. EXIF that cannot be parsed stays as it is: nobody finds a thumbnail in it. Previews in
    maker notes, in Photoshop's segment and in XMP stay. What follows the end of a JPEG without MPF,
    a phone's video, stays.

    Args:
        source: The whole file. Where its scans are damaged, what libjpeg recovers counts.
        pixels: (h, w, 1 or 3), uint8, the restored photo as the file stores it: not turned upright.
            Where `filled` is False it is not looked at, but for the chroma beside filled pixels.
        filled: (h, w); without any True the source is returned as it is.

    Raises:
        NotPatchable: CMYK, arithmetic coding, 12 bits, lossless, fractional sampling, cut short,
            broken or without its last scans, a picture of another size, or no jpeglib.
    """
    parts = _parse(source)
    frame = _frame(parts)
    shape = frame.height, frame.width
    if filled.shape != shape or pixels.shape != (*shape, len(frame.components)):
        raise NotPatchable(
            f"the picture is {size(pixels.shape)} with {pixels.shape[-1]} channels, the file "
            f"{size(shape)} with {len(frame.components)}"
        )
    if not filled.any():
        return source

    with temporary_folder() as folder:
        core = folder / "source.jpg"
        core.write_bytes(b"\xff\xd8" + b"".join(parts.core) + b"\xff\xd9")
        planes, tables = _read(core, frame)
        for component, plane, weights in zip(
            frame.components, planes, _WEIGHTS[frame.colours], strict=True
        ):
            _patch(plane, tables[component.table], component, frame, weights, pixels, filled)
        written = _parse(_write(core, frame, planes))
    listed = any(kind == 0xE2 and body.startswith(b"MPF\0") for kind, body in parts.kept)
    kept = (_segment(kind, body) for kind, body in _fresh(parts.kept))
    return b"".join([b"\xff\xd8", *kept, *written.core, b"\xff\xd9", b"" if listed else parts.tail])


# ---- The file's segments -------------------------------------------------------------------------

#: A marker that is not stuffing, a restart or fill.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_SOI, _EOI, _SOS, _DNL, _TEM, _COM = 0xD8, 0xD9, 0xDA, 0xDC, 0x01, 0xFE
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_PROGRESSIVE = 0xC2
#: Tags of a thumbnail that is a JPEG.
_THUMBNAIL, _THUMBNAIL_LENGTH = 0x0201, 0x0202


@dataclass
class _Parts:
    #: APPn and COM segments: (marker, body).
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    #: Tables, frame and scans, each with its marker and with the coded data behind it.
    core: list[bytes] = field(default_factory=list)
    #: Frames: (marker, body).
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    #: What follows the end marker.
    tail: bytes = b""


def _segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body


def _parse(data: bytes) -> _Parts:
    parts = _Parts()
    if not data.startswith(b"\xff\xd8"):
        raise NotPatchable("not a JPEG")
    at = 2
    while found := _MARKER.search(data, at):
        kind, at = found[1][0], found.end()
        if kind == _EOI:
            parts.tail = data[at:]
            return parts
        if kind in (_SOI, _DNL, _TEM):
            raise NotPatchable(f"a marker where none is expected: FF{kind:02X}")
        length = int.from_bytes(data[at : at + 2], "big")
        body = data[at + 2 : at + length]
        if length < 2 or len(body) != length - 2:
            break
        at += length
        if 0xE0 <= kind <= 0xEF or kind == _COM:
            parts.kept.append((kind, body))
            continue
        if kind in _SOF:
            parts.frames.append((kind, body))
        parts.core.append(_segment(kind, body))
        if kind == _SOS:
            # The coded data go up to the next marker.
            end = found.start() if (found := _MARKER.search(data, at)) else len(data)
            parts.core.append(data[at:end])
            at = end
    raise NotPatchable("cut short")


@dataclass(frozen=True)
class _Component:
    #: Pixels for each sample, down and across.
    step: tuple[int, int]
    #: Rows and columns of blocks.
    blocks: tuple[int, int]
    #: Number of its quantisation table.
    table: int


@dataclass(frozen=True)
class _Frame:
    height: int
    width: int
    components: tuple[_Component, ...]
    #: A key of `_WEIGHTS`.
    colours: str
    progressive: bool


def _frame(parts: _Parts) -> _Frame:
    if len(parts.frames) != 1:
        raise NotPatchable("more or fewer than one frame")
    kind, body = parts.frames[0]
    if kind in _LOSSLESS:
        raise NotPatchable("lossless JPEG")
    if kind > 0xC8:
        raise NotPatchable("arithmetic coding")
    if kind > _PROGRESSIVE:
        raise NotPatchable("hierarchical JPEG")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise NotPatchable("its header is broken")
    depth, height, width, count = struct.unpack_from(">BHHB", body)
    if depth != 8:
        raise NotPatchable(f"{depth} bits per channel")
    if not height or not width:
        raise NotPatchable("its header does not say how high it is")
    if count not in (1, 3):
        raise NotPatchable("CMYK colour" if count == 4 else f"{count} channels")

    named = [tuple(body[at : at + 3]) for at in range(6, len(body), 3)]
    down = [sampling & 15 for _, sampling, _ in named]
    across = [sampling >> 4 for _, sampling, _ in named]
    if not all(1 <= n <= 4 for n in down + across) or any(table > 3 for _, _, table in named):
        raise NotPatchable("its header is broken")
    if any(max(n) % each for n in (down, across) for each in n):
        raise NotPatchable("fractional chroma sampling")
    components = []
    for v, h, (_, _, table) in zip(down, across, named, strict=True):
        step = max(down) // v, max(across) // h
        blocks = -(-height // (8 * step[0])), -(-width // (8 * step[1]))
        components.append(_Component(step, blocks, table))
    names = bytes(name for name, _, _ in named)
    progressive = kind == _PROGRESSIVE
    _check_scans(parts.core, names, progressive)
    return _Frame(height, width, tuple(components), _colours(parts.kept, names), progressive)


def _check_scans(core: list[bytes], names: bytes, progressive: bool) -> None:
    """Raise unless the scans give all bits of all coefficients.

    Decoders smooth a progressive picture whose last scans are missing; a file that has them all
    would show the undamaged pixels otherwise.
    """
    missing = {name: set(range(64)) for name in names}
    for segment in core:
        if segment[:2] != b"\xff\xda":
            continue
        count = segment[4]
        if len(segment) != 8 + 2 * count:
            raise NotPatchable("the header of a scan is broken")
        first, last, bits = segment[-3:] if progressive else (0, 63, 0)
        for name in segment[5 : 5 + 2 * count : 2]:
            if name in missing and not bits & 15:
                missing[name].difference_update(range(first, last + 1))
    if any(missing.values()):
        raise NotPatchable("some of its scans are missing")


def _colours(kept: list[tuple[int, bytes]], names: bytes) -> str:
    """What the components stand for, a key of `_WEIGHTS`, found as libjpeg does."""
    if len(names) == 1:
        return "grey"
    if any(kind == 0xE0 and body.startswith(b"JFIF\0") for kind, body in kept):
        return "YCbCr"
    for kind, body in reversed(kept):
        if kind == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            return "YCbCr" if body[11] else "RGB"
    return "RGB" if names == b"RGB" else "YCbCr"


def _fresh(kept: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The segments without thumbnails and without a list of further pictures."""
    for kind, body in kept:
        if kind == 0xE0 and body.startswith(b"JFXX\0"):
            continue
        if kind == 0xE2 and body.startswith(b"MPF\0"):
            continue
        if kind == 0xE0 and body.startswith(b"JFIF\0") and any(body[12:14]):
            body = body[:12] + b"\0\0"
        elif kind == 0xE1 and body.startswith(b"Exif\0\0"):
            body = body[:6] + _without_thumbnail(body[6:])
        yield kind, body


def _without_thumbnail(tiff: bytes) -> bytes:
    """EXIF's TIFF block without its second directory, the thumbnail's; no offset changes.

    The directory stays as bytes that nothing points to. A JPEG thumbnail's bytes are cut off where
    they end the block, else zeroed; of others only the directory goes.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return tiff
    fresh = bytearray(tiff)
    # Where the directory itself is broken, its link alone goes.
    with suppress(struct.error):
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, first)
        link = first + 2 + 12 * count
        (second,) = struct.unpack_from(order + "I", tiff, link)
        struct.pack_into(order + "I", fresh, link, 0)
        if not second:
            return tiff
        (count,) = struct.unpack_from(order + "H", tiff, second)
        values = {}
        for at in range(second + 2, second + 2 + 12 * count, 12):
            tag, _, _, values[tag] = struct.unpack_from(order + "HHII", tiff, at)
        start, length = values.get(_THUMBNAIL, 0), values.get(_THUMBNAIL_LENGTH, 0)
        end = start + length
        # An offset that lies must not cost other data.
        if start > link and end <= len(tiff) and tiff[start : start + 2] == b"\xff\xd8":
            fresh[start:end] = bytes(length if end < len(tiff) else 0)
    return bytes(fresh)


# ---- Blocks --------------------------------------------------------------------------------------

_k, _n = np.mgrid[0:8, 0:8]
#: The orthonormal DCT of 8 samples: coefficients are _DCT @ samples.
_DCT: Floats = np.asarray(
    np.where(_k, 1.0, np.sqrt(0.5)) / 2 * np.cos((2 * _n + 1) * _k * np.pi / 16), np.float32
)
#: What each component takes of each channel; chroma's own offset of 128 cancels the shift by 128
#: that comes before the DCT.
_WEIGHTS: dict[str, list[tuple[float, ...]]] = {
    "grey": [(1.0,)],
    "RGB": [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
    "YCbCr": [
        (0.299, 0.587, 0.114),
        (-0.299 / 1.772, -0.587 / 1.772, 0.5),
        (0.5, -0.587 / 1.402, -0.114 / 1.402),
    ],
}
#: Pixels that are worked on at a time: what bounds the memory.
_AT_ONCE = 2**20
#: The most that 8-bit JPEG can code.
_MOST = 1023


def _patch(
    plane: Coefficients,
    table: Floats,
    component: _Component,
    frame: _Frame,
    weights: tuple[float, ...],
    pixels: Pixels,
    filled: Mask,
) -> None:
    """Make the blocks that hold a filled pixel anew, in place."""
    down, across = component.step
    hurt = np.logical_or.reduceat(filled, np.arange(0, frame.height, 8 * down), axis=0)
    hurt = np.logical_or.reduceat(hurt, np.arange(0, frame.width, 8 * across), axis=1)
    weigh = np.array(weights, np.float32)
    centre = 128 * weigh.sum()

    rows, columns = np.nonzero(hurt)
    many = max(1, _AT_ONCE // (64 * down * across))
    for at in range(0, len(rows), many):
        row, column = rows[at : at + many], columns[at : at + many]
        # Beyond the picture's edge its last pixels go on.
        y = np.minimum(row[:, None] * 8 * down + np.arange(8 * down), frame.height - 1)
        x = np.minimum(column[:, None] * 8 * across + np.arange(8 * across), frame.width - 1)
        y, x = y[:, :, None], x[:, None, :]
        split = (len(row), 8, down, 8, across)
        inside = filled[y, x].reshape(split)
        # Where several pixels share a sample the filled ones count twice: at equal shares what is
        # left of the damage in the others' chroma would show more than in a picture encoded whole.
        share = 1 + inside.astype(np.float32)
        wanted = (pixels[y, x] @ weigh - centre).reshape(split)
        wanted = (wanted * share).sum((2, 4)) / share.sum((2, 4))
        new = inside.any((2, 4))

        samples = _DCT.T @ (plane[row, column] * table) @ _DCT
        samples[new] = wanted[new]
        quantised = np.rint(_DCT @ samples @ _DCT.T / table)
        plane[row, column] = np.clip(quantised, -_MOST, _MOST)


# ---- jpeglib -------------------------------------------------------------------------------------

_INFO_ARGUMENTS = (ctypes.c_char_p, *(ctypes.c_void_p,) * 11)
_READ_ARGUMENTS = (ctypes.c_char_p, *(ctypes.c_void_p,) * 6)
_WRITE_ARGUMENTS = (
    *(ctypes.c_char_p,) * 2,
    *(ctypes.c_void_p,) * 7,
    *(ctypes.c_int,) * 2,
    ctypes.c_void_p,
    ctypes.c_short,
    ctypes.c_void_p,
    ctypes.c_int,
    *(ctypes.c_void_p,) * 3,
    *(ctypes.c_uint,) * 2,
)
_OPTIMISED = 1 << 6
_COLOUR_SPACES = {"grey": 1, "RGB": 2, "YCbCr": 3}


@functools.cache
def _library(progressive: bool) -> Any:
    """A build of libjpeg that comes with jpeglib; MozJPEG is the one that writes progressive scans.

    jpeglib's own classes decode all scans before they read, keep segments in globals that threads
    share, and leave a temporary file behind when a JPEG is broken: so its functions are called as
    they are in C, where they share nothing.
    """
    try:
        binding = importlib.import_module("jpeglib._bind").CJpegLib
        library = binding._bind_lib("mozjpeg403" if progressive else "turbo210")
        library.read_jpeg_info.argtypes = _INFO_ARGUMENTS
        library.read_jpeg_dct.argtypes = _READ_ARGUMENTS
        library.write_jpeg_dct.argtypes = _WRITE_ARGUMENTS
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        raise NotPatchable("jpeglib is not installed") from error
    return library


def _read(path: Path, frame: _Frame) -> tuple[list[Coefficients], Floats]:
    """Each component's coefficients, and the four quantisation tables, (4, 8, 8)."""
    library = _library(frame.progressive)
    planes = [np.zeros((*component.blocks, 8, 8), np.int16) for component in frame.components]
    tables, numbers = np.zeros((4, 8, 8), np.uint16), np.zeros(4, np.int16)
    pointers: list[int | None] = [plane.ctypes.data for plane in planes]
    pointers += [None] * (4 - len(planes))
    scans = ctypes.c_int()
    with silence(2):
        # What reads coefficients crashes on a broken header; this one refuses it.
        done = library.read_jpeg_info(
            str(path).encode(), *[None] * 9, ctypes.addressof(scans), None
        ) and library.read_jpeg_dct(
            str(path).encode(), *pointers, tables.ctypes.data, numbers.ctypes.data
        )
    if not done or not all(tables[component.table].all() for component in frame.components):
        raise NotPatchable("its coefficients cannot be read")
    return planes, tables.astype(np.float32)


def _write(source: Path, frame: _Frame, planes: list[Coefficients]) -> bytes:
    """A JPEG like the source, with these coefficients."""
    library = _library(frame.progressive)
    result = source.with_name("result.jpg")
    pointers: list[int | None] = [plane.ctypes.data for plane in planes]
    pointers += [None] * (4 - len(planes))
    sizes = np.array([frame.height, frame.width], np.int32)
    with silence(2):
        # Tables, sampling and names are taken from the source where they are not given.
        done = library.write_jpeg_dct(
            *(str(source).encode(), str(result).encode(), *pointers),
            *(sizes.ctypes.data, None, None),
            *(_COLOUR_SPACES[frame.colours], len(planes), None, -1, None),
            *(0, None, None, None, _OPTIMISED, 0xFFFFFFFF),
        )
    if not done:
        raise NotPatchable("its coefficients cannot be written")
    return result.read_bytes()
