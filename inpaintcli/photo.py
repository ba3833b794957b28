"""Photo: pixels, metadata and format. Nothing else opens image files.

Pillow decodes and encodes what has 8 bits per channel. It cannot hold 16-bit colour, so OpenCV
decodes those PNG pixels and tifffile those TIFF pixels; what is simple enough to write (16-bit PNG,
TIFF, PNM) is written here, so that every depth and channel count keeps its metadata.
"""

from __future__ import annotations

import errno
import io
import logging
import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.files import write_whole
from inpaintcli.silence import silence

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

#: More pixels than this are refused before they are decoded.
MAX_PIXELS = 1_000_000_000
#: A sample of which such a share is fully transparent or opaque is alpha, where it is called so.
ALPHA_SHARE = 0.99

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
}
#: The lower-case suffixes that are read and written.
SUFFIXES = frozenset(_FORMATS)

# Our own check (`_check_size`) comes before any decoding; Pillow's would print a warning as well.
Image.MAX_IMAGE_PIXELS = None
# What a codec thinks of a file reaches the user as one PhotoError or not at all.
warnings.filterwarnings("ignore", module=r"PIL\.")
for _codec in ("PIL", "tifffile"):
    logging.getLogger(_codec).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Metadata:
    """What a file says about its pixels; each format keeps what it has room for."""

    #: "Exif\\0\\0" and a TIFF block, without thumbnail and without what describes the encoding.
    exif: bytes = b""
    icc_profile: bytes = b""
    #: An XMP packet; its orientation is 1.
    xmp: bytes = b""
    #: Pixels per inch, across and down.
    dpi: tuple[float, float] | None = None
    #: A PNG's text and colour space, as (type, body).
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    #: A JPEG's quantization tables, by number.
    jpeg_tables: Mapping[int, list[int]] | None = None
    #: A JPEG's chroma subsampling, as Pillow counts: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
    jpeg_subsampling: int = 0
    #: A film scanner's infrared, upright, (height, width), uint8 or uint16; TIFF alone keeps it.
    infrared: Pixels | None = field(default=None, compare=False, repr=False)
    #: Whether it is a page of its own, and not a sample of each pixel.
    infrared_page: bool = False


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture in memory, upright, as deep as its file.

    Attributes:
        pixels: (height, width, channels), uint8 or uint16, full range. 1 channel is grey, 2 are
            grey and alpha, 3 are RGB, 4 are RGBA; alpha is straight, not premultiplied. `decode`
            and `read` return them read-only.
        format: What it was read from: "PNG", "JPEG", "TIFF", "WEBP", "BMP" or "PPM".
        metadata: What else the file said.

    Raises:
        ValueError: `pixels` has another shape or type, or the metadata's infrared another size.
    """

    pixels: Pixels
    format: str = "PNG"
    metadata: Metadata = Metadata()

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or not 1 <= shape[2] <= 4 or 0 in shape:
            raise ValueError(f"pixels must be (height, width, 1 to 4), not {shape}")
        if dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels must be uint8 or uint16, not {dtype}")
        infrared = self.metadata.infrared
        if infrared is not None and infrared.shape != shape[:2]:
            raise ValueError(f"infrared must be {shape[:2]} like pixels, not {infrared.shape}")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def colour(self) -> Pixels:
        """The pixels without alpha, (height, width, 1 or 3): a view."""
        return self.pixels[..., : 1 if self.pixels.shape[2] < 3 else 3]

    @property
    def alpha(self) -> Pixels | None:
        """Opacity, (height, width), or None where the photo has none: a view."""
        return None if self.pixels.shape[2] % 2 else self.pixels[..., -1]


def is_photo_name(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like that of a photo, in upper or lower case."""
    return format_of(path) is not None


def format_of(path: str | os.PathLike[str]) -> str | None:
    """The format that the name's suffix stands for, as `Photo.format` says it; None if unknown."""
    return _FORMATS.get(Path(path).suffix.lower())


def read(path: Path) -> Photo:
    """Read a photo; its content, not its suffix, tells the format.

    A film scanner's infrared in a TIFF goes into the metadata, as `read_with_infrared` says, but
    for a sample that is called alpha: that is taken for alpha.

    Raises:
        PhotoError: There is no such file, or it cannot be opened, or see `decode`.
    """
    return decode(_bytes(path), str(path))


def read_with_infrared(path: Path) -> tuple[Photo, Pixels]:
    """Read a film scanner's TIFF: the photo, grey or RGB, and its infrared channel.

    Infrared is the one extra sample of each pixel, as VueScan writes it, be it called alpha or
    not, unless it is called so and looks like it; or the one other page (or sub-image) of the same
    size, grey, as SilverFast does. Of a photo with both, it is the sample. Thumbnails are passed
    over.

    Returns the photo as `read` would without the infrared, and the infrared, upright as the photo
    is, (height, width), uint8 or uint16, read-only. The photo's metadata hold it too, so that
    `write` puts it into a TIFF in the way in which it came; other formats have no room for it.

    Raises:
        PhotoError: The file cannot be read, is no TIFF, has no infrared or in another size.
    """
    photo = _decoded(_bytes(path), str(path), _decode_infrared)
    infrared = photo.metadata.infrared
    assert infrared is not None
    return photo, infrared


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise PhotoError(f"{path}: not a regular file: give a photo that is one")
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: {_reason(error, 'no such file')}") from error


def write(photo: Photo, path: Path) -> None:
    """Write a photo in the format that the path's suffix names: the whole file or none.

    An older file of that name stays until the new one is complete, and if writing fails; see
    `write_whole` for its mode and for links.

    Raises:
        PhotoError: The path cannot be written to, or see `encode`.
    """
    data = encode(photo, path.suffix, str(path))
    try:
        write_whole(path, data)
    except OSError as error:
        raise PhotoError(
            f"{path}: cannot be written: {_reason(error, 'no such folder')}"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        PhotoError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{folder}: cannot be made: {_reason(error)}") from error


def decode(data: bytes, name: str) -> Photo:
    """A photo from the bytes of a file.

    One bit becomes 8-bit grey, a palette becomes RGB or RGBA, min-is-white becomes min-is-black,
    and the orientation that EXIF or XMP asks for is applied. Of the pictures in an MPO the first
    counts. EXIF that cannot be parsed is dropped.

    Args:
        data: The whole file.
        name: What error messages call it.

    Raises:
        PhotoError: The bytes are no image, or a broken one, or hold what is not supported: several
            pages or frames, CMYK, Lab, floating point, more than `MAX_PIXELS`. One line that begins
            with `name`.
    """
    return _decoded(data, name, _decode_tiff if data[:4] in _TIFF_MAGIC else _decode)


def _decoded(data: bytes, name: str, decoder: Callable[[bytes], Photo]) -> Photo:
    """What `decoder` makes of the bytes, with every error in one line that begins with `name`."""
    try:
        photo = decoder(data)
    except PhotoError as error:
        raise PhotoError(f"{name}: {error}") from error
    except Exception as error:  # A broken file makes codecs raise anything, SyntaxError included.
        raise PhotoError(f"{name}: not an image that can be read: {_reason(error)}") from error
    photo.pixels.flags.writeable = False
    if photo.metadata.infrared is not None:
        photo.metadata.infrared.flags.writeable = False
    return photo


def encode(photo: Photo, suffix: str, name: str) -> bytes:
    """The bytes of a file that holds the photo.

    All but JPEG are lossless: WebP always, even when a lossy one was read. JPEG keeps the
    quantization tables and the chroma subsampling of the JPEG that was read; without one it is of
    quality 95 and 4:4:4. TIFF is deflated, and it alone keeps infrared. WebP has no grey and no
    DPI: grey comes back as RGB.

    Args:
        photo: What to encode.
        suffix: One of `SUFFIXES`, in upper or lower case: the format.
        name: What error messages call the file.

    Raises:
        PhotoError: The suffix is unknown, or the format cannot hold the photo's alpha, depth,
            colour or size. One line that begins with `name`.
    """
    format = _fitting_format(photo, suffix, name)
    try:
        return _ENCODERS[format](photo)
    except Exception as error:  # As in decode: codecs have no common exception.
        raise PhotoError(f"{name}: cannot be written as {format}: {_reason(error)}") from error


def check_fits(photo: Photo, path: Path) -> None:
    """Check, before any work is done, that `write` would take the photo.

    Args:
        photo: Its shape and depth count, not what the pixels show.
        path: Where it is to go: the suffix counts; the file system is not asked.

    Raises:
        PhotoError: As `encode` does because of the suffix, alpha, depth, colour or size.
    """
    _fitting_format(photo, path.suffix, str(path))


def _fitting_format(photo: Photo, suffix: str, name: str) -> str:
    """The format that the suffix names; raises PhotoError where it cannot hold the photo."""
    suffix = suffix.lower()
    known = " ".join(sorted(SUFFIXES))
    if not suffix:
        raise PhotoError(f"{name}: has no suffix to tell the format: add one of {known}")
    if suffix not in SUFFIXES:
        raise PhotoError(f"{name}: no known format ends in '{suffix}': use one of {known}")
    format = _FORMATS[suffix]
    if photo.alpha is not None and format in ("JPEG", "BMP", "PPM"):
        problem = f"{format} has no transparency: write PNG, TIFF or WebP"
    elif photo.pixels.dtype == np.uint16 and format in ("JPEG", "BMP", "WEBP"):
        problem = f"{format} has 8 bits per channel, the photo has 16: write PNG or TIFF"
    elif suffix == ".pgm" and photo.colour.shape[2] == 3:
        problem = "PGM is grey, the photo is not: write PPM or PNG"
    elif max(photo.height, photo.width) > (limit := _MAX_SIDE.get(format, 2**31)):
        problem = f"{format} is at most {limit} pixels wide and high: write PNG or TIFF"
    else:
        return format
    raise PhotoError(f"{name}: {problem}")


def _reason(error: Exception, missing: str = "no such file") -> str:
    """What went wrong, in one line that the user can act on."""
    match error:
        case MemoryError():
            return "not enough memory"
        case UnidentifiedImageError():
            return "no known format, or cut short"
        case OSError(errno=errno.ENOENT):
            return missing
        case OSError(errno=errno.EISDIR):
            return "a folder, not a file"
        case OSError(errno=errno.EACCES):
            return "no permission"
        case OSError(strerror=str(text)):
            return text.lower()
        case AssertionError() | AttributeError() | LookupError() | TypeError():
            return "its parts do not fit together"  # What the codec stumbled over tells nothing.
    return " ".join(str(error).split()) or type(error).__name__


# ---- Reading -------------------------------------------------------------------------------------

_READABLE = ("PNG", "JPEG", "BMP", "PPM", "GIF", "WEBP")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[:, ::-1].swapaxes(0, 1),
}
_MODE_NAMES = {
    "CMYK": "CMYK colour",
    "LAB": "Lab colour",
    "YCbCr": "YCbCr colour",
    "I": "32 bits per channel",
    "F": "floating point",
}

_EXIF_IFDS = (34665, 34853)
_INTEROP = 40965
#: The tags of EXIF's first directory that speak of the photo and not of its encoding: name,
#: description, camera, page, resolution, software, date, artist, host, rating, copyright, the EXIF
#: and GPS directories, and what Windows calls title, comment, author, keywords and subject.
_KEPT_TAGS = frozenset(
    {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432}
    | {*_EXIF_IFDS, 40091, 40092, 40093, 40094, 40095}
)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)(\d)""")

_KEPT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"sRGB", b"cICP")
#: Texts that repeat the EXIF and XMP, orientation included.
_STALE_TEXTS = (
    b"XML:com.adobe.xmp\0",
    b"Raw profile type exif\0",
    b"Raw profile type APP1\0",
    b"Raw profile type xmp\0",
)
#: A marker that is not stuffing, a restart or fill.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNM_SPACE = rb"(?:\s|#[^\n]*\n)+"
_PNM_HEADER = re.compile(rb"P([2356])" + (_PNM_SPACE + rb"(\d+)") * 3 + rb"\s")


def _decode(data: bytes) -> Photo:
    if not data:
        raise PhotoError("the file is empty")
    image = Image.open(io.BytesIO(data), formats=_READABLE)
    format = "JPEG" if image.format == "MPO" else str(image.format)
    _check_size(image.width, image.height)
    if format == "GIF":
        raise PhotoError("GIF is not supported: convert it to PNG first")
    if format != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise PhotoError("animations are not supported: save one frame as PNG first")

    metadata = Metadata()
    deep: Pixels | None = None
    if format == "PNG":
        chunks = _png_chunks(data)
        metadata = replace(metadata, png_chunks=_kept_chunks(chunks))
        image.load()
        deep = _deep_png(chunks)
    elif format == "JPEG":
        if not _reaches_jpeg_end(data):
            raise PhotoError("a JPEG that is cut short")
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        metadata = replace(
            metadata,
            jpeg_tables=dict(image.quantization),
            jpeg_subsampling=max(0, JpegImagePlugin.get_sampling(image)),
        )
    elif format == "WEBP":
        if 8 + int.from_bytes(data[4:8], "little") > len(data):
            raise PhotoError("a WebP that is cut short")
    elif format == "PPM":
        deep = _deep_pnm(data)
    pixels = _shallow(image) if deep is None else deep

    exif = image.getexif()
    xmp = image.info.get("xmp", b"")
    metadata = replace(
        metadata,
        exif=_kept_exif(exif),
        icc_profile=image.info.get("icc_profile") or b"",
        xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", xmp.encode() if isinstance(xmp, str) else xmp),
        dpi=_dpi(*(image.info.get("dpi") or (exif.get(282), exif.get(283)))),
    )
    return Photo(_upright(pixels, exif.get(274)), format, metadata)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{width} x {height} pixels are too many: at most {MAX_PIXELS:,} are supported"
        )


def _shallow(image: ImageFile.ImageFile) -> Pixels:
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


def _upright(pixels: Pixels, orientation: object) -> Pixels:
    """The pixels as they are meant to be seen; `orientation` is the EXIF tag's value."""
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _kept_exif(exif: Image.Exif) -> bytes:
    kept = Image.Exif()
    kept.endian = exif.endian  # Maker notes rely on it.
    try:
        for tag in _KEPT_TAGS & set(exif):
            if tag in _EXIF_IFDS:
                # The interoperability directory is an offset into the file that was read.
                kept[tag] = {k: v for k, v in exif.get_ifd(tag).items() if k != _INTEROP}
            else:
                kept[tag] = exif[tag]
        return kept.tobytes() if len(kept) else b""
    except Exception:  # Broken EXIF is no reason to refuse the picture.
        return b""


def _dpi(across: Any, down: Any) -> tuple[float, float] | None:
    try:
        dpi = float(across), float(down)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return dpi if all(1 <= d <= 65535 for d in dpi) else None


def _reaches_jpeg_end(data: bytes) -> bool:
    """Whether the picture has its end marker; much may follow it, such as a phone's video."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        at = found.end()
        if data[at - 1] == 0xD9:
            return True
        at += int.from_bytes(data[at : at + 2], "big")
    return False


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG as (type, body), each checked against its sum, IEND the last."""
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while not chunks or chunks[-1][0] != b"IEND":
        if at + 12 > len(data):
            raise PhotoError("a PNG that is cut short")
        (length,) = struct.unpack_from(">I", data, at)
        chunk = data[at + 4 : at + 8 + length]
        if data[at + 8 + length : at + 12 + length] != zlib.crc32(chunk).to_bytes(4, "big"):
            raise PhotoError("a PNG that is cut short or damaged")
        chunks.append((chunk[:4], chunk[4:]))
        at += 12 + length
    return chunks


def _kept_chunks(chunks: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (kind, body)
        for kind, body in chunks
        if kind in _KEPT_CHUNKS and not body.startswith(_STALE_TEXTS)
    )


def _deep_png(chunks: list[tuple[bytes, bytes]]) -> Pixels | None:
    """The pixels of a PNG that has 16 bits per channel and that Pillow could load."""
    header = chunks[0][1]
    depth, colour_type = header[8:10]
    if depth != 16:
        return None
    import cv2

    # libpng prints what it thinks of other chunks, of ICC profiles above all.
    bare = _png([(kind, body) for kind, body in chunks if kind in (b"IHDR", b"IDAT", b"IEND")])
    decoded = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise PhotoError("a PNG that is damaged")
    # OpenCV has BGR order, and four channels for grey and alpha.
    order = {0: [0], 2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}[colour_type]
    pixels = decoded.reshape(*decoded.shape[:2], -1)[..., order]
    key = next((body for kind, body in chunks if kind == b"tRNS"), None)
    if key is not None and colour_type in (0, 2):
        opaque = (pixels != np.frombuffer(key, ">u2")).any(axis=2, keepdims=True)
        pixels = np.concatenate([pixels, opaque * np.uint16(65535)], axis=2)
    return np.ascontiguousarray(pixels, np.uint16)


def _deep_pnm(data: bytes) -> Pixels | None:
    """The pixels of a PGM or PPM that has 16 bits per channel."""
    header = _PNM_HEADER.match(data)
    if header is None or int(header[4]) < 256:
        return None
    width, height, most = (int(header[k]) for k in (2, 3, 4))
    if header[1] in b"23" or most > 65535:
        raise PhotoError("plain-text 16-bit PNM is not supported: convert it to PNG first")
    channels = 3 if header[1] == b"6" else 1
    raw = np.frombuffer(data, ">u2", height * width * channels, header.end())
    if most < 65535:
        raw = ((np.minimum(raw, most) * np.uint32(65535) + most // 2) // most).astype(np.uint16)
    return raw.astype(np.uint16).reshape(height, width, channels)


def _decode_tiff(data: bytes) -> Photo:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, *others = _full_pages(file)
        infrared = None
        with suppress(PhotoError):
            infrared = _infrared_page(page, others)
        if infrared:
            return _with_infrared_page(page, infrared, data)
        if others:
            raise PhotoError("several pages are not supported: save one of them first")
        if _extras(page) == 1 and _extra_kind(page) == 0:
            with suppress(PhotoError):  # Not every layout that is read can be read with it.
                return _with_infrared_sample(page, data)
        return _tiff_photo(page, data)


def _full_pages(file: TiffFile) -> list[TiffPage]:
    import tifffile

    pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
    if not pages:
        raise PhotoError("a TIFF without a picture")
    # Scanners add thumbnails as pages of their own, before the photo or after it.
    return [page for page in pages if not page.is_reduced] or pages


def _decode_infrared(data: bytes) -> Photo:
    """A photo whose metadata hold its infrared."""
    import tifffile

    if data[:4] not in _TIFF_MAGIC:
        raise PhotoError("not a TIFF, which alone has an infrared channel: try --infrared-file")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, *others = _full_pages(file)
        _check_tiff(page, len(data))
        extra = _extras(page)
        if extra > 1:
            raise PhotoError(f"{extra} extra channels, not infrared alone: try --infrared-file")
        if extra:
            photo = _with_infrared_sample(page, data)
            assert photo.metadata.infrared is not None
            if _extra_kind(page) == 0 or not _looks_like_alpha(photo.metadata.infrared):
                return photo
        return _with_infrared_page(page, _infrared_page(page, others), data)


def _with_infrared_sample(page: TiffPage, data: bytes) -> Photo:
    """The photo in this page, its last sample as infrared."""
    _check_size(page.imagewidth, page.imagelength)
    _check_tiff(page, len(data))
    samples = _upright(_samples(page, data), _tiff_orientation(page))
    metadata = replace(_tiff_metadata(page, data), infrared=samples[..., -1].copy())
    return Photo(np.ascontiguousarray(samples[..., :-1]), "TIFF", metadata)


def _with_infrared_page(page: TiffPage, infrared: TiffPage, data: bytes) -> Photo:
    """The photo in this page, and its infrared in the other."""
    photo = _tiff_photo(page, data)
    _check_tiff(infrared, len(data))
    # It lies in the file as the photo does, so it is turned alike, whatever its own tag says.
    turned = _upright(_samples(infrared, data), _tiff_orientation(page))[..., 0]
    metadata = replace(photo.metadata, infrared=turned.copy(), infrared_page=True)
    return replace(photo, metadata=metadata)


def _looks_like_alpha(sample: Pixels) -> bool:
    """True if nearly all of it is fully transparent or opaque, as no infrared is."""
    ends = (sample == 0) | (sample == np.iinfo(sample.dtype).max)
    return float(ends.mean()) >= ALPHA_SHARE


def _infrared_page(page: TiffPage, others: list[TiffPage]) -> TiffPage:
    """The one of the other pages, and of this one's sub-images, that is its infrared.

    Raises PhotoError where there is none, or where it is not certain.
    """
    import tifffile

    others = others + [sub for sub in page.pages or () if isinstance(sub, tifffile.TiffPage)]
    others = [other for other in others if not other.is_reduced]
    if not others:
        found = {2: "RGB", 3: "palette colours", 6: "YCbCr"}.get(int(page.photometric), "grey")
        found += " and transparency" if _extras(page) else ""
        raise PhotoError(f"no infrared channel, {found} alone: try --infrared-file")
    alike = [other for other in others if other.shape[:2] == page.shape[:2]]
    if not alike:
        sizes = (f"{p.imagewidth}x{p.imagelength}" for p in (others[0], page))
        raise PhotoError(
            "the other page is {}, the photo {}: infrared must be of the same size".format(*sizes)
        )
    if len(alike) > 1:
        raise PhotoError(
            f"{1 + len(alike)} pages, not a photo and its infrared: try --infrared-file"
        )
    if alike[0].samplesperpixel > 1 or int(alike[0].photometric) not in (0, 1):
        raise PhotoError("the other page is in colour, so no infrared: try --infrared-file")
    if alike[0].sampleformat != 1 or alike[0].bitspersample not in (8, 16):
        floating = alike[0].sampleformat == 3
        kind = "in floating point" if floating else f"of {alike[0].bitspersample}-bit depth"
        raise PhotoError(f"infrared {kind} is not supported: try --infrared-file")
    return alike[0]


def _tiff_photo(page: TiffPage, data: bytes) -> Photo:
    """The photo in this page of a TIFF."""
    _check_size(page.imagewidth, page.imagelength)
    _check_tiff(page, len(data))
    data = _with_first_page(page, data)
    if page.bitspersample == 16:
        pixels = _upright(_deep_tiff(page, data), _tiff_orientation(page))
    else:
        # Pillow turns TIFFs upright by itself.
        with silence(2):
            pixels = _shallow(Image.open(io.BytesIO(data), formats=("TIFF",)))
    return Photo(pixels, "TIFF", _tiff_metadata(page, data))


def _tiff_xmp(page: TiffPage) -> bytes:
    xmp = page.tags.valueof(700)
    return xmp if isinstance(xmp, bytes) else b""


def _tiff_orientation(page: TiffPage) -> object:
    orientation = page.tags.valueof(274)
    if orientation is None and (found := _XMP_ORIENTATION.search(_tiff_xmp(page))):
        return int(found[2])
    return orientation


def _tiff_metadata(page: TiffPage, data: bytes) -> Metadata:
    """What this page of a TIFF says of its pixels."""
    metadata = Metadata(
        icc_profile=bytes(page.tags.valueof(34675, default=b"")),
        xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", _tiff_xmp(page)),
        dpi=_tiff_dpi(page),
    )
    exif = Image.Exif()
    with suppress(Exception):  # As in _kept_exif; Pillow does not parse that of a BigTIFF.
        exif.load(_with_first_page(page, data))
        metadata = replace(metadata, exif=_kept_exif(exif))
    return metadata


def _with_first_page(page: TiffPage, data: bytes) -> bytes:
    """The file with this page before all others, for decoders that read the first."""
    if page.offset == page.parent.pages.first.offset:
        return data
    # 4 bytes of magic and 4 of the page's offset; in a BigTIFF 8 and 8.
    size = page.parent.tiff.offsetsize
    order: Literal["little", "big"] = "little" if page.parent.byteorder == "<" else "big"
    return data[:size] + page.offset.to_bytes(size, order) + data[2 * size :]


def _with_tag(page: TiffPage, data: bytes, number: int, value: int) -> bytes:
    """The file with another value, a single one, of a tag of this page, if the page has it."""
    tag = page.tags.get(number)
    if tag is None:
        return data
    # The whole entry is written anew, for its type may be any: tag, type, count and value.
    entry = "HHQH6x" if page.parent.tiff.offsetsize == 8 else "HHIH2x"
    changed = bytearray(data)
    struct.pack_into(page.parent.byteorder + entry, changed, tag.offset, number, 3, 1, value)
    return bytes(changed)


def _check_tiff(page: TiffPage, size: int) -> None:
    """Raise PhotoError if a TIFF of `size` bytes is cut short or not of a kind that is read."""
    colour = {5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab"}.get(int(page.photometric))
    if colour is not None:
        raise PhotoError(f"{colour} colour is not supported: convert it to RGB first")
    if page.sampleformat == 3:
        raise PhotoError("floating point is not supported: convert it to 8- or 16-bit RGB first")
    if page.sampleformat != 1 or page.bitspersample not in (1, 2, 4, 8, 16):
        raise PhotoError(
            f"{page.bitspersample} bits per channel, or signed ones, are not supported: "
            "convert it to 8- or 16-bit RGB first"
        )
    starts, counts = page.dataoffsets, page.databytecounts
    ends = [start + count for start, count in zip(starts, counts, strict=False)]
    if not len(starts) == len(counts) > 0 or 0 in counts or max(ends) > size:
        raise PhotoError("a TIFF that is cut short")


def _colours(page: TiffPage) -> int:
    """Samples that are no extra ones: of RGB and YCbCr three."""
    return 3 if int(page.photometric) in (2, 6) else 1


def _extras(page: TiffPage) -> int:
    """How many extra samples a pixel has: alpha, infrared or padding."""
    return int(page.samplesperpixel) - _colours(page)


def _extra_kind(page: TiffPage) -> int:
    """What the first extra sample is called: 0 nothing, 1 premultiplied and 2 straight alpha."""
    return int(page.extrasamples[0]) if page.extrasamples else 2


def _deep_tiff(page: TiffPage, data: bytes) -> Pixels:
    """The pixels of a TIFF that has 16 bits per channel, not yet upright."""
    pixels = _samples(page, data)
    colours = _colours(page)
    kind = _extra_kind(page)
    if pixels.shape[2] > colours and kind == 1:
        raise PhotoError("premultiplied 16-bit alpha is not supported: save it with straight alpha")
    # Unspecified extra samples are padding, as they are to Pillow.
    kept = colours + (pixels.shape[2] > colours and kind == 2)
    return np.ascontiguousarray(pixels[..., :kept], np.uint16)


def _samples(page: TiffPage, data: bytes) -> Pixels:
    """All samples of 8 or 16 bits, (height, width, samples), not yet upright; black is 0."""
    if int(page.photometric) not in (0, 1, 2):
        raise PhotoError(
            f"this {page.bitspersample}-bit colour is not supported: convert it to RGB first"
        )
    if page.bitspersample not in (8, 16):
        raise PhotoError(f"infrared of {page.bitspersample}-bit depth is not supported")
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if int(page.compression) in _TIFFFILE_CODECS:
        pixels = page.asarray()
        if int(page.planarconfig or 1) == 2 and samples > 1:
            pixels = pixels.transpose(1, 2, 0)
        pixels = pixels.reshape(height, width, samples)
    else:
        # Samples as they are: OpenCV would turn them, multiply by alpha and, of 8 bits, invert.
        data = _with_first_page(page, data)
        for tag, value in ((274, 1), (338, 0), (262, max(1, int(page.photometric)))):
            data = _with_tag(page, data, tag, value)
        pixels = _cv2_tiff(data, (height, width, samples), int(page.planarconfig or 1) == 1)
    if int(page.photometric) == 0:
        white = np.iinfo(pixels.dtype).max
        return np.dstack([white - pixels[..., :1], pixels[..., 1:]])
    return pixels


#: None, Deflate (both numbers) and PackBits, which tifffile knows without the imagecodecs package.
_TIFFFILE_CODECS = (1, 8, 32946, 32773)


def _cv2_tiff(data: bytes, shape: tuple[int, int, int], chunky: bool) -> Pixels:
    """Samples under LZW and what else libtiff knows and tifffile does not."""
    import cv2

    with silence(2):
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise PhotoError("a TIFF that is damaged or compressed in an unknown way")
    decoded = decoded.reshape(*decoded.shape[:2], -1)
    if not chunky or decoded.shape != shape or decoded.dtype not in (np.uint8, np.uint16):
        raise PhotoError("this layout is not supported: save the TIFF uncompressed")
    order = [2, 1, 0, 3][: shape[2]] if shape[2] > 1 else [0]
    return decoded[..., order].astype(decoded.dtype)


def _tiff_dpi(page: TiffPage) -> tuple[float, float] | None:
    unit = {1: math.nan, 3: 2.54}.get(page.tags.valueof(296, default=2), 1.0)
    try:
        across, down = (page.tags.valueof(tag) for tag in (282, 283))
        return _dpi(across[0] / across[1] * unit, down[0] / down[1] * unit)
    except (TypeError, ZeroDivisionError):
        return None


# ---- Writing -------------------------------------------------------------------------------------

_MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}
#: The longest EXIF or XMP block that fits a JPEG segment.
_JPEG_SEGMENT = 65504


def _saved(photo: Photo, format: str, **options: Any) -> bytes:
    """What Pillow makes of 8-bit pixels."""
    pixels = photo.pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    with io.BytesIO() as file:
        image.save(file, format, **options)
        return file.getvalue()


def _encode_jpeg(photo: Photo) -> bytes:
    meta = photo.metadata
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    if meta.jpeg_tables is not None:
        options = {"qtables": dict(meta.jpeg_tables), "subsampling": meta.jpeg_subsampling}
    return _saved(
        photo,
        "JPEG",
        **options,
        dpi=meta.dpi or (0, 0),
        icc_profile=meta.icc_profile,
        exif=meta.exif if len(meta.exif) <= _JPEG_SEGMENT else b"",
        xmp=meta.xmp if len(meta.xmp) <= _JPEG_SEGMENT else b"",
    )


def _encode_webp(photo: Photo) -> bytes:
    meta = photo.metadata
    return _saved(
        photo,
        "WEBP",
        lossless=True,
        exact=True,  # Colours under full transparency are pixels too.
        icc_profile=meta.icc_profile,
        exif=meta.exif,
        xmp=meta.xmp,
    )


def _encode_bmp(photo: Photo) -> bytes:
    return _saved(photo, "BMP", dpi=photo.metadata.dpi or (0, 0))


def _encode_ppm(photo: Photo) -> bytes:
    pixels = photo.pixels
    kind, most = (6 if pixels.shape[2] == 3 else 5), np.iinfo(pixels.dtype).max
    header = b"P%d\n%d %d\n%d\n" % (kind, photo.width, photo.height, most)
    return header + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _encode_png(photo: Photo) -> bytes:
    pixels = photo.pixels
    if pixels.dtype == np.uint8:
        header, *rest = _png_chunks(_saved(photo, "PNG"))
    else:
        colour_type = (0, 4, 2, 6)[pixels.shape[2] - 1]
        rows = pixels.astype(">u2").view(np.uint8).reshape(photo.height, -1)
        # Filter 2 of PNG: each row as its difference to the one above.
        filtered = np.full((photo.height, rows.shape[1] + 1), 2, np.uint8)
        filtered[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
        size = struct.pack(">IIBBBBB", photo.width, photo.height, 16, colour_type, 0, 0, 0)
        header, rest = (b"IHDR", size), [(b"IDAT", zlib.compress(filtered.data)), (b"IEND", b"")]
    return _png([header, *_png_metadata(photo.metadata), *rest])


def _png_metadata(meta: Metadata) -> list[tuple[bytes, bytes]]:
    chunks = list(meta.png_chunks)
    if meta.icc_profile:
        # A PNG has a profile or the sRGB chunk, never both.
        chunks = [chunk for chunk in chunks if chunk[0] != b"sRGB"]
        chunks.insert(0, (b"iCCP", b"ICC Profile\0\0" + zlib.compress(meta.icc_profile)))
    if meta.dpi is not None:
        across, down = (round(dpi / 0.0254) for dpi in meta.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if meta.exif:
        chunks.append((b"eXIf", meta.exif.removeprefix(b"Exif\0\0")))
    if meta.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + meta.xmp))
    return chunks


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        checksum = zlib.crc32(body, zlib.crc32(kind))
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)]
    return b"".join(parts)


_TIFF_HEAD = b"II*\0\0\0\0\0"


def _encode_tiff(photo: Photo) -> bytes:
    """Little-endian: the photo, with infrared as one more sample, or on a page of its own."""
    pixels, meta = photo.pixels, photo.metadata
    ifd = ImageFileDirectory_v2(_TIFF_HEAD)
    if meta.exif:
        exif = Image.Exif()
        exif.load(meta.exif)
        for tag in exif:
            ifd[tag] = exif.get_ifd(tag) if tag in _EXIF_IFDS else exif[tag]
    if meta.dpi is not None:
        ifd[282], ifd[283], ifd[296] = *meta.dpi, 2
    if meta.icc_profile:
        ifd[34675] = meta.icc_profile
    if meta.xmp:
        ifd[700] = meta.xmp
    if pixels.shape[2] % 2 == 0:
        ifd[338] = 2  # Straight alpha

    infrared = meta.infrared
    apart = meta.infrared_page or photo.alpha is not None
    if infrared is not None and not apart and infrared.dtype == pixels.dtype:
        pixels = np.dstack([pixels, infrared])
        ifd[338] = 0  # No alpha
        infrared = None
    with io.BytesIO() as file:
        link = _write_page(file, ifd, pixels, photo.colour.shape[2])
        if infrared is not None:
            file.write(b"\0" * (file.tell() % 2))
            start = file.tell()
            _write_page(file, ImageFileDirectory_v2(_TIFF_HEAD), infrared[..., None], 1)
            file.seek(link)
            file.write(struct.pack("<I", start))
        return file.getvalue()


def _write_page(file: io.BytesIO, ifd: Any, pixels: Pixels, colours: int) -> int:
    """Deflated strips of about a megabyte, each pixel as its difference to its left neighbour.

    Returns where in the file to say where the next page is.
    """
    height, width, channels = pixels.shape
    bits = pixels.dtype.itemsize * 8
    rows = max(1, 2**20 // pixels[0].nbytes)
    strips = []
    for top in range(0, height, rows):
        strip = pixels[top : top + rows].astype(pixels.dtype.newbyteorder("<"))
        strip[:, 1:] -= pixels[top : top + rows, :-1]
        strips.append(zlib.compress(strip.data))
    sizes = [len(strip) for strip in strips]

    ifd[256], ifd[257], ifd[258] = width, height, (bits,) * channels
    ifd[259], ifd[317] = 8, 2  # Deflate, horizontal differences
    ifd[262] = 1 if colours == 1 else 2
    ifd[277], ifd[278], ifd[284] = channels, rows, 1
    # The directory adds its own length to the offsets when it is saved.
    ifd.tagtype[273] = ifd.tagtype[279] = 4
    ifd[273], ifd[279] = tuple(int(n) for n in np.cumsum([0, *sizes[:-1]])), tuple(sizes)
    # Eight bytes are before the first page; a page is a count, its entries and the link.
    link = max(8, file.tell()) + 2 + 12 * len(ifd)
    ifd.save(file)
    file.writelines(strips)
    return link


_ENCODERS: dict[str, Callable[[Photo], bytes]] = {
    "PNG": _encode_png,
    "JPEG": _encode_jpeg,
    "TIFF": _encode_tiff,
    "WEBP": _encode_webp,
    "BMP": _encode_bmp,
    "PPM": _encode_ppm,
}
