"""PNG, of every depth; read and written in strips, so that memory holds the picture but once.

Deflate does the packing. The filters between it and the pixels are undone by Pillow, to which each
strip is shown as a small picture of 8 bits: Pillow itself has no 16-bit colour.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import deflate, palette, pillow
from inpaintcli.photo.picture import Metadata, Palette, Photo, check_size

Bytes = NDArray[np.uint8]
#: A chunk's type, and its body: a view into the file where it was read from one.
Chunk = tuple[bytes, bytes | memoryview]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bytes of the picture that are packed or unpacked at a time, about.
_STRIP = 2**22
#: Samples of a pixel, by the header's number for the kind of colour.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Column, row and steps of the passes of an interlaced picture.
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip

#: What is passed on as it is.
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_KEPT = (*_TEXTS, b"gAMA", b"cHRM", b"sRGB", b"cICP")
#: What tells of the picture and is parsed by Pillow.
_PARSED = (*_TEXTS, b"eXIf", b"iCCP", b"pHYs")
#: Texts that repeat the EXIF and XMP, orientation included.
_STALE_TEXTS = (
    b"XML:com.adobe.xmp\0",
    b"Raw profile type exif\0",
    b"Raw profile type APP1\0",
    b"Raw profile type xmp\0",
)


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    packing: int = 0
    filters: int = 0
    interlaced: int = 0

    @property
    def samples(self) -> int:
        return _SAMPLES[self.colour]

    @property
    def unit(self) -> int:
        """Bytes from a byte to the one that filters compare it with."""
        return max(1, self.samples * self.depth // 8)

    def row(self, width: int) -> int:
        """Bytes of so many pixels."""
        return -(-width * self.samples * self.depth // 8)


# ---- Reading -------------------------------------------------------------------------------------


def decode(data: bytes, limit: int) -> Photo:
    """The photo; a transparent colour becomes alpha."""
    start = data[8:33]
    if len(start) < 25 or start[:8] != b"\0\0\0\rIHDR":
        raise PhotoError("a PNG that is cut short or damaged")
    header = _Header(*struct.unpack(">IIBBBBB", start[8:21]))
    check_size(header.width, header.height, limit)
    depths = {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}.get(header.colour, (8, 16))
    if header.colour not in _SAMPLES or header.depth not in depths or header.interlaced > 1:
        raise PhotoError("a PNG that is damaged")
    chunks = _chunks(data)
    for kind, body in chunks:
        if kind == b"acTL" and int.from_bytes(body[:4], "big") > 1:
            raise PhotoError("animations are not supported: save one frame as PNG first")

    # The parsed chunks in a picture of one pixel.
    told = [(kind, body) for kind, body in chunks if kind in _PARSED]
    image = Image.open(io.BytesIO(_small(_Header(1, 1, 8, 0), b"\0\0", told)), formats=("PNG",))
    image.load()
    meta = pillow.metadata(
        image,
        png_chunks=tuple(
            (kind, bytes(body))
            for kind, body in chunks
            if kind in _KEPT and not bytes(body[:32]).startswith(_STALE_TEXTS)
        ),
        palette=_palette(header, chunks),
        bits=header.depth if header.depth < 8 else 8,
    )
    return pillow.photo(_pixels(header, chunks, meta.palette), "PNG", meta)


def _chunks(data: bytes) -> list[Chunk]:
    """The chunks of a PNG, each checked against its sum, IEND the last."""
    chunks: list[Chunk] = []
    view, at = memoryview(data), 8
    while not chunks or chunks[-1][0] != b"IEND":
        if at + 12 > len(data):
            raise PhotoError("a PNG that is cut short")
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if data[end : end + 4] != zlib.crc32(view[at + 4 : end]).to_bytes(4, "big"):
            raise PhotoError("a PNG that is cut short or damaged")
        chunks.append((data[at + 4 : at + 8], view[at + 8 : end]))
        at = end + 4
    return chunks


def _palette(header: _Header, chunks: list[Chunk]) -> Palette | None:
    if header.colour != 3:
        return None
    colours = _body(chunks, b"PLTE")
    if not colours or len(colours) % 3:
        raise PhotoError("a PNG that is damaged")
    return Palette(colours[: 3 * 2**header.depth], _body(chunks, b"tRNS")[: len(colours) // 3])


def _body(chunks: list[Chunk], wanted: bytes) -> bytes:
    return next((bytes(body) for kind, body in chunks if kind == wanted), b"")


def _pixels(header: _Header, chunks: list[Chunk], colours: Palette | None) -> Pixels:
    """The pixels as the file holds them, 8 or 16 bits."""
    key = None
    if header.colour in (0, 2) and (transparent := _body(chunks, b"tRNS")):
        key = np.frombuffer(transparent, ">u2", header.samples)
    table = None if colours is None else palette.entries(colours)
    channels = header.samples + (key is not None) if table is None else table.shape[1]
    pixels: Pixels = np.empty(
        (header.height, header.width, channels), np.uint16 if header.depth == 16 else np.uint8
    )
    stream = _Stream([body for kind, body in chunks if kind == b"IDAT"])
    for left, top, across, down in _ADAM7 if header.interlaced else ((0, 0, 1, 1),):
        target = pixels[top::down, left::across]
        if not target.size:
            continue
        row = 0
        for rows in _strips(stream, header, *target.shape[:2]):
            samples = _samples(rows, header, target.shape[1])
            part = target[row : row + len(rows)]
            if table is not None:
                if samples.max() >= len(table):
                    raise PhotoError("a PNG that is damaged, with colours beyond its palette")
                part[:] = table[samples[..., 0]]
            else:
                part[..., : header.samples] = samples
                if header.depth < 8:
                    part[..., :1] = palette.greys(header.depth)[samples]
            if key is not None:
                part[..., -1] = (samples != key).any(axis=2) * np.iinfo(part.dtype).max
            row += len(rows)
    return pixels


class _Stream:
    """What is packed in the bodies, unpacked bit by bit."""

    def __init__(self, bodies: Sequence[bytes | memoryview]) -> None:
        self._unpacker = zlib.decompressobj()
        self._pieces = (
            body[at : at + 2**16] for body in bodies for at in range(0, len(body), 2**16)
        )
        self._rest: bytes | memoryview = b""

    def read(self, size: int) -> bytearray:
        """So many bytes; raises PhotoError if there are fewer."""
        found = bytearray()
        while len(found) < size:
            if not self._rest:
                # What it still holds back comes out of it without more to read.
                self._rest = next(self._pieces, b"")
            more = self._unpacker.decompress(self._rest, size - len(found))
            if not more and not self._rest:
                raise PhotoError("a PNG that is cut short or damaged")
            found += more
            self._rest = self._unpacker.unconsumed_tail
        return found


def _strips(stream: _Stream, header: _Header, height: int, width: int) -> Iterator[Bytes]:
    """The rows of bytes of a pass, some at a time, without their filters."""
    size = header.row(width)
    at_once = max(1, _STRIP // size)
    above = None
    for top in range(0, height, at_once):
        count = min(at_once, height - top)
        filtered = np.frombuffer(stream.read(count * (1 + size)), np.uint8).reshape(count, -1)
        rows = _unfiltered(filtered, above, header.unit)
        above = rows[-1]
        yield rows


def _unfiltered(filtered: Bytes, above: Bytes | None, unit: int) -> Bytes:
    """Rows of bytes of which the first is the number of the filter; `above` has none any more.

    Filters go by bytes, each compared with that `unit` bytes before it. So any rows are rows of an
    8-bit picture of 1 to 4 channels, or, where a pixel has 6 or 8 bytes, of two such pictures.
    """
    kinds, pixels = filtered[:, :1], filtered[:, 1:].reshape(len(filtered), -1, unit)
    lanes = unit if unit <= 4 else unit // 2
    clear = np.empty(pixels.shape, np.uint8)
    for lane in range(0, unit, lanes):
        part = pixels[..., lane : lane + lanes].reshape(len(pixels), -1)
        rows = np.hstack([kinds, part])
        if above is not None:
            before = above.reshape(-1, unit)[:, lane : lane + lanes].ravel()
            rows = np.vstack([np.concatenate([[np.uint8(0)], before]), rows])
        size = _Header(pixels.shape[1], len(rows), 8, (0, 4, 2, 6)[lanes - 1])
        small = _small(size, rows.tobytes())
        with Image.open(io.BytesIO(small), formats=("PNG",)) as image:
            decoded = np.asarray(image)
        clear[..., lane : lane + lanes] = decoded.reshape(len(rows), -1, lanes)[-len(pixels) :]
    return clear.reshape(len(pixels), -1)


def _small(header: _Header, rows: bytes, chunks: Sequence[Chunk] = ()) -> bytes:
    """A PNG of filtered rows, not packed, and of further chunks."""
    with io.BytesIO() as file:
        file.write(_SIGNATURE)
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", *header)),
            *chunks,
            (b"IDAT", zlib.compress(rows, 0)),
            (b"IEND", b""),
        ):
            _write(file, kind, body)
        return file.getvalue()


def _samples(rows: Bytes, header: _Header, width: int) -> Pixels:
    """What rows of bytes hold, (height, width, samples); of fewer than 8 bits as they are."""
    if header.depth < 8:
        return palette.unpacked(rows, header.depth, width)[..., None]
    samples: Pixels = rows
    if header.depth == 16:
        samples = rows.view(">u2")
    return samples.reshape(len(rows), width, header.samples)


# ---- Writing -------------------------------------------------------------------------------------


def encode(photo: Photo) -> bytes:
    """Of the depth that the photo has, with its palette if it had one."""
    pixels, meta = photo.pixels, photo.metadata
    numbers = palette.numbered(photo)
    if numbers is not None:
        bits = palette.depth(meta)
        header = _Header(photo.width, photo.height, bits, 0 if meta.palette is None else 3)
    else:
        bits = pixels.dtype.itemsize * 8
        header = _Header(photo.width, photo.height, bits, (0, 4, 2, 6)[pixels.shape[2] - 1])
    with io.BytesIO() as file:
        file.write(_SIGNATURE)
        _write(file, b"IHDR", struct.pack(">IIBBBBB", *header))
        early, late = _told(meta)
        for chunk in early:
            _write(file, *chunk)
        if numbers is not None and meta.palette is not None:
            _write(file, b"PLTE", meta.palette.colours)
            if meta.palette.alpha:
                _write(file, b"tRNS", meta.palette.alpha)
        for chunk in late:
            _write(file, *chunk)

        # Numbers have no neighbours that are like them, only such that are the same.
        unit = header.unit if numbers is None else 0
        for part in deflate.stream(
            _rows(pixels if numbers is None else numbers, header),
            lambda piece: _filtered(*piece, unit),
            filtered=numbers is None,
        ):
            _write(file, b"IDAT", part)
        _write(file, b"IEND", b"")
        return file.getvalue()


def _rows(pixels: Pixels, header: _Header) -> Iterator[tuple[Bytes, Bytes]]:
    """Rows of bytes, (height, bytes), some at a time, and the row above them."""
    size = header.row(header.width)
    above = np.zeros(size, np.uint8)
    at_once = max(1, _STRIP // 4 // size)
    for top in range(0, header.height, at_once):
        part = pixels[top : top + at_once]
        if header.depth < 8:
            part = palette.packed(part.astype(np.uint8, copy=False), header.depth)
        elif header.depth == 16:
            part = part.astype(">u2")
        rows = np.ascontiguousarray(part).view(np.uint8).reshape(len(part), size)
        yield rows, above
        above = rows[-1]


def _filtered(rows: Bytes, above: Bytes, unit: int) -> bytes:
    """The rows, each with the number of the filter that leaves least of it; without any if unit
    is 0."""
    height, size = rows.shape
    chosen = np.zeros((height, 1 + size), np.uint8)
    chosen[:, 1:] = rows
    if not unit:
        return chosen.tobytes()
    up = np.vstack([above, rows[:-1]])
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, unit:], corner[:, unit:] = rows[:, :-unit], up[:, :-unit]
    least = _cost(rows)
    for number, guess in (
        (1, left),
        (2, up),
        (3, _average(left, up)),
        (4, _paeth(left, up, corner)),
    ):
        rest = rows - guess
        cost = _cost(rest)
        better = cost < least
        chosen[better, 0] = number
        chosen[better, 1:] = rest[better]
        least = np.minimum(cost, least)
    return chosen.tobytes()


def _cost(rest: Bytes) -> NDArray[np.int64]:
    """How far from 0 each row's bytes are, of which 255 is as near as 1."""
    cost: NDArray[np.int64] = np.minimum(rest, -rest).sum(axis=1, dtype=np.int64)
    return cost


def _average(left: Bytes, up: Bytes) -> Bytes:
    return (left & up) + ((left ^ up) >> np.uint8(1))


def _paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    """Of the three the one nearest to left + up - corner."""
    to_left = up.astype(np.int16) - corner
    to_up = left.astype(np.int16) - corner
    to_corner = np.abs(to_left + to_up)
    to_left, to_up = np.abs(to_left), np.abs(to_up)
    guess = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, guess)


def _told(meta: Metadata) -> tuple[list[Chunk], list[Chunk]]:
    """The metadata's chunks: those that must precede a palette, and the others."""
    early: list[Chunk] = [chunk for chunk in meta.png_chunks if chunk[0] not in _TEXTS]
    late: list[Chunk] = [chunk for chunk in meta.png_chunks if chunk[0] in _TEXTS]
    if meta.icc_profile:
        # A PNG has a profile or the sRGB chunk, never both.
        early = [chunk for chunk in early if chunk[0] != b"sRGB"]
        early.insert(0, (b"iCCP", b"ICC Profile\0\0" + zlib.compress(meta.icc_profile)))
    if meta.dpi is not None:
        across, down = (round(dpi / 0.0254) for dpi in meta.dpi)
        late.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if meta.exif:
        late.append((b"eXIf", meta.exif.removeprefix(b"Exif\0\0")))
    if meta.xmp:
        late.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + meta.xmp))
    return early, late


def _write(file: io.BytesIO, kind: bytes, body: bytes | memoryview) -> None:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    for part in (struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)):
        file.write(part)
