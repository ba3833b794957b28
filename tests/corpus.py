"""Files of every format that is read, whole and damaged, made from seeds.

What is whole comes from Pillow, tifffile, OpenCV or by hand, never from the code under test.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Array = NDArray[Any]
Maker = Callable[[int, int], bytes]

#: Width and height of the files that are damaged: small, so that many are quick.
WIDTH, HEIGHT = 24, 20

_XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="1"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)


class Kind(NamedTuple):
    """A kind of file. refused: it is whole, but not of what is read. turned: EXIF lays it on its
    side. exact: a restored photo of this format has all pixels outside the damage as they were.
    """

    make: Maker
    refused: bool = False
    turned: bool = False
    exact: bool = True


def _array(width: int, height: int, channels: int = 3, depth: int = 8) -> Array:
    """A smooth picture with some noise, (height, width, channels)."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [np.sin((x + 5 * k) / 7) * np.cos((y - 3 * k) / 5) for k in range(channels)]
    noise = np.random.default_rng(7).normal(0, 0.02, (height, width, channels))
    values = np.clip(0.5 + 0.4 * np.stack(planes, 2) + noise, 0, 1)
    if channels in (2, 4):
        values[..., -1] = np.where((x + y) % 11 < 9, 1, 0.3)
    dtype = np.uint16 if depth == 16 else np.uint8
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def _image(width: int, height: int, mode: str = "RGB") -> Image.Image:
    channels = {"1": 1, "L": 1, "P": 3, "LA": 2, "RGBA": 4, "RGBX": 4, "CMYK": 4}.get(mode, 3)
    array = _array(width, height, channels)
    image = Image.fromarray(array[..., 0] if channels == 1 else array)
    if mode == "CMYK":
        image = Image.frombytes("CMYK", (width, height), array.tobytes())
    elif mode == "P":
        image = image.quantize(30)
    return image if image.mode == mode else image.convert(mode)


@functools.cache
def _profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # When it was made: now.
    return bytes(profile)


def _exif(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0132] = "Maker", orientation, "2020:01:02 03:04:05"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 1.0)})
    return exif.tobytes()


def _told(orientation: int = 1) -> dict[str, Any]:
    return {"exif": _exif(orientation), "icc_profile": _profile(), "xmp": _XMP}


def _pillow(format: str, mode: str = "RGB", **options: Any) -> Maker:
    def make(width: int, height: int) -> bytes:
        file = io.BytesIO()
        extra = _told(options.get("turn", 1)) if options.get("told") else {}
        passed = {key: value for key, value in options.items() if key not in ("told", "turn")}
        if format == "TIFF" and extra:
            # Pillow takes the tags of a TIFF from EXIF, and has no option for XMP.
            del extra["xmp"]
        _image(width, height, mode).save(file, format, **extra, **passed)
        return file.getvalue()

    return make


def _tifffile(channels: int = 3, depth: int = 8, pages: int = 1, **options: Any) -> Maker:
    def make(width: int, height: int) -> bytes:
        import tifffile

        array = _array(width, height, channels, depth)
        if options.get("photometric") == "palette":
            array = (array[..., 0] // 16).astype(np.uint8)
        elif options.get("planarconfig") == "separate":
            array = array.transpose(2, 0, 1)
        elif channels == 1:
            array = array[..., 0]
        file = io.BytesIO()
        with tifffile.TiffWriter(file, bigtiff=options.get("big", False)) as tiff:
            for _ in range(pages):
                passed = {key: value for key, value in options.items() if key != "big"}
                tiff.write(array, metadata=None, **passed)
        return file.getvalue()

    return make


def _opencv(suffix: str, channels: int) -> Maker:
    def make(width: int, height: int) -> bytes:
        import cv2

        done, data = cv2.imencode(suffix, _array(width, height, channels, 16))
        assert done
        return bytes(data)

    return make


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, rows: bytes, depth: int, colour: int, interlaced: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _interlaced_png(width: int, height: int) -> bytes:
    array, rows = _array(width, height), b""
    for left, top, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):  # fmt: skip
        part = array[top::down, left::across]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    return _png(width, height, rows, 8, 2, 1)


def _pnm(kind: int, most: int = 255) -> Maker:
    def make(width: int, height: int) -> bytes:
        array = _array(width, height, 3 if kind in (3, 6) else 1, 16 if most > 255 else 8)
        head = b"P%d\n# a comment\n%d %d\n" % (kind, width, height)
        if kind in (1, 4):
            bits = (array[..., 0] > 127).astype(np.uint8)
            plain = b"\n".join(b" ".join(b"%d" % bit for bit in row) for row in bits)
            return head + (plain if kind == 1 else np.packbits(bits, axis=1).tobytes())
        head += b"%d\n" % most
        if kind in (2, 3):
            return head + b"\n".join(b" ".join(b"%d" % n for n in row.ravel()) for row in array)
        return head + array.astype(">u2" if most > 255 else np.uint8).tobytes()

    return make


def _frames(format: str, **options: Any) -> Maker:
    def make(width: int, height: int) -> bytes:
        file = io.BytesIO()
        first, second = _image(width, height), _image(width, height, "L").convert("RGB")
        first.save(file, format, save_all=True, append_images=[second], **options)
        return file.getvalue()

    return make


def _heic(mode: str) -> Maker:
    def make(width: int, height: int) -> bytes:
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(_image(width, height, mode)).save(file, exif=_exif())
        return file.getvalue()

    return make


def _jxl(mode: str, **options: Any) -> Maker:
    def make(width: int, height: int) -> bytes:
        import pillow_jxl

        assert pillow_jxl  # It makes itself known to Pillow.
        return _pillow("JXL", mode, **options)(width, height)

    return make


_LOSSY = {"exact": False}
_COLOURS = [[n * 257 for n in range(256)]] * 3

#: Every kind of file that needs no further package, by a name that ends in its suffix.
KINDS: dict[str, Kind] = {
    "grey.png": Kind(_pillow("PNG", "L")),
    "grey-alpha.png": Kind(_pillow("PNG", "LA")),
    "rgb.png": Kind(_pillow("PNG", dpi=(300, 300))),
    "rgba.png": Kind(_pillow("PNG", "RGBA")),
    "palette.png": Kind(_pillow("PNG", "P")),
    "palette-alpha.png": Kind(_pillow("PNG", "P", transparency=3)),
    "bits.png": Kind(_pillow("PNG", "1")),
    "grey-16.png": Kind(_opencv(".png", 1)),
    "rgb-16.png": Kind(_opencv(".png", 3)),
    "rgba-16.png": Kind(_opencv(".png", 4)),
    "interlaced.png": Kind(_interlaced_png),
    "told.png": Kind(_pillow("PNG", told=True)),
    "turned.png": Kind(_pillow("PNG", told=True, turn=6), turned=True),
    "frames.png": Kind(_frames("PNG"), refused=True),
    "grey.jpg": Kind(_pillow("JPEG", "L"), **_LOSSY),
    "rgb.jpg": Kind(_pillow("JPEG", quality=90, subsampling=0), **_LOSSY),
    "halved.jpg": Kind(_pillow("JPEG", quality=60, subsampling=2), **_LOSSY),
    "progressive.jpg": Kind(_pillow("JPEG", progressive=True), **_LOSSY),
    "restarts.jpg": Kind(_pillow("JPEG", restart_marker_rows=1), **_LOSSY),
    "told.jpeg": Kind(_pillow("JPEG", told=True, comment="as it was"), **_LOSSY),
    "turned.jpg": Kind(_pillow("JPEG", told=True, turn=6), turned=True, **_LOSSY),
    "cmyk.jpg": Kind(_pillow("JPEG", "CMYK"), refused=True),
    "grey.tif": Kind(_tifffile(1)),
    "rgb.tif": Kind(_tifffile()),
    "rgba.tif": Kind(_tifffile(4, extrasamples=["unassalpha"])),
    "infrared.tif": Kind(_tifffile(4, 16, extrasamples=["unspecified"])),
    "grey-16.tif": Kind(_tifffile(1, 16)),
    "rgb-16.tif": Kind(_tifffile(3, 16)),
    "deflate.tif": Kind(_tifffile(3, 16, compression="zlib", rowsperstrip=7)),
    "tiles.tif": Kind(_tifffile(tile=(16, 16))),
    "planes.tif": Kind(_tifffile(planarconfig="separate", photometric="rgb")),
    "big.tif": Kind(_tifffile(big=True)),
    "big-endian.tiff": Kind(_tifffile(1, 16, photometric="miniswhite")),
    "pages.tif": Kind(_tifffile(pages=3)),
    "palette.tif": Kind(_tifffile(photometric="palette", colormap=_COLOURS)),
    "bits.tif": Kind(_pillow("TIFF", "1")),
    "fax.tif": Kind(_pillow("TIFF", "1", compression="group4")),
    "lzw.tif": Kind(_pillow("TIFF", compression="tiff_lzw")),
    "packbits.tif": Kind(_pillow("TIFF", compression="packbits")),
    "jpeg.tif": Kind(_pillow("TIFF", compression="jpeg")),
    "told.tif": Kind(_pillow("TIFF", told=True)),
    "cmyk.tif": Kind(_pillow("TIFF", "CMYK"), refused=True),
    "rgb.webp": Kind(_pillow("WEBP", quality=80)),
    "rgba.webp": Kind(_pillow("WEBP", "RGBA", quality=80)),
    "lossless.webp": Kind(_pillow("WEBP", lossless=True)),
    "told.webp": Kind(_pillow("WEBP", told=True)),
    "frames.webp": Kind(_frames("WEBP"), refused=True),
    "rgb.avif": Kind(_pillow("AVIF", speed=10), **_LOSSY),
    "grey.avif": Kind(_pillow("AVIF", "L", speed=10), **_LOSSY),
    "rgba.avif": Kind(_pillow("AVIF", "RGBA", speed=10), **_LOSSY),
    "told.avif": Kind(_pillow("AVIF", told=True, speed=10), **_LOSSY),
    "rgb.bmp": Kind(_pillow("BMP")),
    "grey.bmp": Kind(_pillow("BMP", "L")),
    "palette.bmp": Kind(_pillow("BMP", "P")),
    "bits.bmp": Kind(_pillow("BMP", "1")),
    "grey.pgm": Kind(_pnm(5)),
    "rgb.ppm": Kind(_pnm(6)),
    "grey-16.pgm": Kind(_pnm(5, 65535)),
    "rgb-16.ppm": Kind(_pnm(6, 65535)),
    "bits.pnm": Kind(_pnm(4)),
    "plain-bits.pnm": Kind(_pnm(1)),
    "plain-grey.pgm": Kind(_pnm(2)),
    "plain-rgb.ppm": Kind(_pnm(3)),
}
#: Those that need one, where it is installed.
FURTHER_KINDS: dict[str, Kind] = {}
if importlib.util.find_spec("pillow_heif"):
    FURTHER_KINDS |= {
        "rgb.heic": Kind(_heic("RGB")),
        "rgba.heic": Kind(_heic("RGBA")),
        "grey.heic": Kind(_heic("L")),
    }
if importlib.util.find_spec("pillow_jxl"):
    FURTHER_KINDS |= {
        "rgb.jxl": Kind(_jxl("RGB")),
        "rgba.jxl": Kind(_jxl("RGBA", lossless=True)),
        "grey.jxl": Kind(_jxl("L", lossless=True)),
        "told.jxl": Kind(_jxl("RGB", exif=_exif(), use_container=True)),
    }


def whole_files(folder: Path) -> dict[str, Path]:
    """Write one small whole file of every kind; returns them by the names of their kinds."""
    files: dict[str, Path] = {}
    for name, kind in (KINDS | FURTHER_KINDS).items():
        files[name] = folder / name
        files[name].write_bytes(kind.make(WIDTH, HEIGHT))
    return files


# ---- Damage --------------------------------------------------------------------------------------


def damaged(data: bytes, seed: int) -> bytes:
    """The file with a few bytes changed, put in, taken out or cut off, mostly in its headers."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = _place(len(changed), chance)
        few = chance.randint(1, 12)
        match chance.choice(("bit", "bit", "byte", "byte", "extreme", "in", "out", "twice", "cut")):
            case "bit":
                changed[at] ^= 1 << chance.randrange(8)
            case "byte":
                changed[at] = chance.randrange(256)
            case "extreme":  # Numbers that are as large or as small as they can be.
                size = chance.choice((1, 2, 4, 8))
                changed[at : at + size] = chance.choice((b"\0", b"\xff", b"\x7f")) * size
            case "in":
                changed[at:at] = chance.randbytes(few)
            case "out":
                del changed[at : at + few]
            case "twice":
                changed[at:at] = changed[at : at + 4 * few]
            case "cut":
                del changed[max(at, 1) :]
        changed = changed or bytearray(b"\0")
    if data.startswith(b"\x89PNG") and chance.random() < 0.7:
        return _with_sums(bytes(changed))
    return bytes(changed)


def _place(size: int, chance: random.Random) -> int:
    near = min(size, 300)
    kind = chance.random()
    if kind < 0.6:
        return chance.randrange(near)
    # A TIFF may have its tags at the end.
    return size - 1 - chance.randrange(near) if kind < 0.75 else chance.randrange(size)


def _with_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the right sums, so that what is behind them is looked at."""
    changed, at = bytearray(data), 8
    while at + 12 <= len(changed):
        end = at + 8 + int.from_bytes(changed[at : at + 4], "big")
        if end + 4 > len(changed):
            break
        changed[end : end + 4] = zlib.crc32(changed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(changed)


def tenths(data: bytes) -> Iterator[bytes]:
    """The file cut off at each tenth of its length; the first has nothing left."""
    return (data[: len(data) * tenth // 10] for tenth in range(10))


def bombs() -> dict[str, bytes]:
    """Small files that say they are huge, by names of their own."""
    side = 60_000
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    tiff = b"II*\0" + struct.pack("<I", 16) + bytes(8)
    tiff += struct.pack("<H", len(tags)) + entries + bytes(4)
    jpeg = bytearray(KINDS["rgb.jpg"].make(WIDTH, HEIGHT))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    bmp = bytearray(KINDS["rgb.bmp"].make(WIDTH, HEIGHT))
    bmp[18:26] = struct.pack("<II", side, side)
    return {
        "bomb.png": _png(side, side, bytes(10_000_000), 8, 2, 0),
        "bits-bomb.png": _png(side, side, bytes(10_000_000), 1, 0, 1),
        "bomb.tif": tiff,
        "bomb.jpg": bytes(jpeg),
        "bomb.bmp": bytes(bmp),
        "bomb.ppm": b"P6 60000 60000 255\n" + bytes(100),
        "bomb.pgm": b"P5 60000 60000 65535\n" + bytes(100),
    }
