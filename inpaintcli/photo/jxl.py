"""JPEG XL, by the package pillow-jxl-plugin, which is an extra."""

from __future__ import annotations

import numpy as np

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import exif, extra, isobmff, orientation
from inpaintcli.photo.formats import is_srgb
from inpaintcli.photo.picture import Metadata, Photo, check_size

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_SIGNATURE = b"\xff\x0a"
#: What precedes EXIF's TIFF block: how many bytes of other things do.
_NO_OFFSET = b"\0\0\0\0"


def decode(data: bytes, limit: int) -> Photo:
    """The photo; 8 bits per channel, or grey of 16."""
    package = extra.package("pillow_jxl", "JPEG XL")
    header = _Header(_codestream(data))
    check_size(header.width, header.height, limit)
    if header.animated:
        raise PhotoError("animations are not supported: save one frame as PNG first")
    if header.floating:
        raise PhotoError("floating point is not supported: convert it to 16-bit PNG first")
    if any(kind == b"jbrd" for kind, _, _ in isobmff.boxes(data)):
        # The package gets the colours of those wrong.
        raise PhotoError("a JPEG in a JPEG XL is not supported: take it out again, as JPEG, first")
    is_jpeg, info, raw, icc, found = package.Decoder(num_threads=1)(data)
    if is_jpeg or info.mode not in (*_MODES.values(), "I;16"):
        raise PhotoError(f"JPEG XL of mode {info.mode} is not supported: convert it to PNG first")
    if header.bits > (16 if info.mode == "I;16" else 8):
        raise PhotoError(
            f"{header.bits}-bit JPEG XL is not supported: convert it to 16-bit PNG first"
        )
    pixels: Pixels = np.frombuffer(raw, np.uint8)
    if info.mode == "I;16":
        pixels = pixels.view(np.uint16)
    pixels = pixels.reshape(info.height, info.width, -1).copy()

    told = {bytes(box.box_type): bytes(box.data) for box in found}
    block = exif.parsed(_tiff_block(told.get(b"Exif", b"")))
    metadata = Metadata(
        exif=exif.kept(block),
        # The codec makes up a profile where the file has none.
        icc_profile=b"" if icc is None or is_srgb(bytes(icc)) else bytes(icc),
        xmp=orientation.upright_xmp(told.get(b"xml ", b"")),
        dpi=exif.dpi(block.get(282), block.get(283)),
    )
    # The codec turns the picture upright; what EXIF says of that is not to be followed.
    return Photo(pixels, "JXL", metadata)


def encode(photo: Photo, quality: int | None) -> bytes:
    """Lossless, or of this quality; the package has no way to write a colour profile."""
    package = extra.package("pillow_jxl", "JPEG XL")
    pixels, meta = photo.pixels, photo.metadata
    lossless = quality in (None, 100)  # As the codec counts.
    deep = pixels.dtype == np.uint16
    encoder = package.Encoder(
        mode="I;16" if deep else _MODES[pixels.shape[2]],
        lossless=lossless,
        quality=100 if quality is None else quality,
        decoding_speed=0,
        effort=7,
        use_container=True,
        use_original_profile=lossless,
        num_threads=1,
    )
    return bytes(
        encoder(
            pixels.tobytes(),
            photo.width,
            photo.height,
            jpeg_encode=False,
            exif=_NO_OFFSET + meta.exif.removeprefix(b"Exif\0\0") if meta.exif else None,
            jumb=None,
            xmp=meta.xmp or None,
            compress=False,
        )
    )


def _tiff_block(box: bytes) -> bytes:
    """EXIF without what precedes it, which some programs leave out."""
    return (
        box if box.startswith((b"II*\0", b"MM\0*")) else box[4 + int.from_bytes(box[:4], "big") :]
    )


def _codestream(data: bytes) -> bytes:
    """The beginning of what is in a container, or of the file where there is none."""
    if data.startswith(_SIGNATURE):
        return data[:64]
    if not isobmff.is_whole(data):
        raise PhotoError("a JPEG XL that is cut short")
    parts = []
    for kind, start, _ in isobmff.boxes(data):
        if kind == b"jxlc":
            parts = [data[start : start + 64]]
        elif kind == b"jxlp":
            parts.append(data[start + 4 : start + 68])
    return b"".join(parts[:2])


class _Header:
    """What a codestream says of its picture before anything is decoded, as ISO 18181-1 has it."""

    def __init__(self, codestream: bytes) -> None:
        if not codestream.startswith(_SIGNATURE):
            raise PhotoError("a JPEG XL that is damaged")
        # The first bit is the lowest one.
        self._bits = int.from_bytes(codestream[2:], "little")
        self.width, self.height = self._size()
        self.animated = self.floating = False
        self.bits = 8
        if self._read(1):  # All else is as it is by default.
            return
        if self._read(1):
            self._read(3)  # The orientation
            if self._read(1):
                self._size()  # Of the screen that it was meant for
            if self._read(1):
                raise PhotoError("a JPEG XL with a preview is not supported: convert it to PNG")
            self.animated = bool(self._read(1))
            if self.animated:
                return
        self.floating = bool(self._read(1))
        self.bits = (8, 10, 12, 0)[kind := self._read(2)]
        if kind == 3:
            self.bits = 1 + self._read(6)

    def _read(self, count: int) -> int:
        value: int = self._bits & (2**count - 1)
        self._bits >>= count
        return value

    def _size(self) -> tuple[int, int]:
        """Width and height, or what they are made from."""
        small = self._read(1)
        height = self._side(small)
        ratio = self._read(3)
        across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        width = height * across // down if ratio else self._side(small)
        return width, height

    def _side(self, small: int) -> int:
        if small:
            return 8 * (1 + self._read(5))
        return 1 + self._read((9, 13, 18, 30)[self._read(2)])
